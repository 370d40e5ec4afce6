"""Small PyTorch models, opened for work or as the files that a member would upload."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification, LlamaConfig, LlamaForCausalLM

from apps.agents.backends.torch.model import TorchModel
from apps.agents.contracts.formats import Format
from apps.agents.contracts.reports.model import LanguageModel, ModelSummary, TensorSpec
from apps.agents.files.reproducible_zip import write_zip

SEED = 0
TINY_LLAMA: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "tie_word_embeddings": True,
}
TINY_BERT: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "num_labels": 3,
}


class Convolutional(nn.Module):
    """Pictures [batch, 3, 8, 8] to five logits, by one layer of each kind."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.transposed = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.dropout = nn.Dropout()
        self.head = nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.convolution(x)))
        x = self.dropout(self.transposed(torch.relu(self.depthwise(x))))
        return self.head(x.mean((2, 3)))  # type: ignore[no-any-return]


def summary_of(
    module: nn.Module,
    format: str,  # noqa: A002
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    language: LanguageModel | None = None,
) -> ModelSummary:
    parameters = sum(weight.numel() for weight in module.parameters())
    return ModelSummary(
        format=format,
        producer="tests",
        opset=None,
        inputs=inputs,
        outputs=outputs,
        parameters=parameters,
        size_bytes=4 * parameters,
        operators={},
        weight_dtypes={"float32": parameters},
        language=language,
    )


def model_of(
    module: nn.Module, shape: tuple[int | str | None, ...] = ("batch", 3, 8, 8), names: tuple[str, ...] = ("y",)
) -> TorchModel:
    """One float input `x`, and float outputs with these names."""
    inputs = (TensorSpec(name="x", dtype="float32", shape=shape),)
    outputs = tuple(TensorSpec(name=name, dtype="float32", shape=("batch", None)) for name in names)
    summary = summary_of(module, Format.STATE_DICT, inputs, outputs)
    return TorchModel(module.eval(), Format.STATE_DICT, summary, Path())


def saved(module: nn.Module, kind: str, feeds: dict[str, Any], folder: Path) -> tuple[TorchModel, Path]:
    """`module` (one input `x` with a free batch) as it is loaded from the file of a `kind` of format."""
    model = model_of(module)
    example = torch.from_numpy(np.ascontiguousarray(feeds["x"]))
    summary = model.summary.model_copy(update={"format": kind})
    if kind == Format.TORCH_EXPORT:
        path = folder / "model.pt2"
        program = torch.export.export(module.eval(), (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
        torch.export.save(program, path)
        return TorchModel(torch.export.load(path).module(), Format(kind), summary, folder, positional=True), path
    if kind == Format.TORCHSCRIPT:
        path = folder / "model.pt"
        torch.jit.save(torch.jit.script(module.eval()), str(path))
        return TorchModel(torch.jit.load(str(path)).eval(), Format(kind), summary, folder, positional=True), path
    return model, folder


def llama(context: int = 64) -> TorchModel:
    """A causal language model of two layers, its head tied to its table."""
    torch.manual_seed(SEED)
    module = LlamaForCausalLM(LlamaConfig(**{**TINY_LLAMA, "max_position_embeddings": context})).eval()
    module.config.use_cache = False
    ends = tuple(
        TensorSpec(name=name, dtype="int64", shape=("batch", "sequence")) for name in ("input_ids", "attention_mask")
    )
    logits = (TensorSpec(name="logits", dtype="float32", shape=("batch", "sequence", 96)),)
    language = LanguageModel(
        architecture="LlamaForCausalLM", generative=True, context_length=context, vocabulary=96, tied_embeddings=True
    )
    summary = summary_of(module, Format.TRANSFORMERS, ends, logits, language)
    return TorchModel(module, Format.TRANSFORMERS, summary, Path())


def bert(folder: Path, *, settings: Mapping[str, Any] | None = None, **changes: Any) -> Path:
    """A classifier of two layers as transformers saves it, zipped, without a tokenizer."""
    return _archived(BertForSequenceClassification, BertConfig(**TINY_BERT | (settings or {})), folder, **changes)


def llama_archive(folder: Path, **changes: Any) -> Path:
    return _archived(LlamaForCausalLM, LlamaConfig(**TINY_LLAMA), folder, **changes)


def _archived(kind: Any, config: Any, folder: Path, dtype: torch.dtype = torch.float32) -> Path:
    torch.manual_seed(SEED)
    folder.mkdir(exist_ok=True)
    inner = folder / "saved"
    kind(config).eval().to(dtype).save_pretrained(inner)
    names = sorted(path.name for path in inner.iterdir())
    return write_zip(folder / "model.zip", [(name, inner / name) for name in names], compress=False)


def tokens(examples: int = 24, length: int = 12, vocabulary: int = 96) -> dict[str, Any]:
    """Rows of several lengths, filled up on the right."""
    random = np.random.default_rng(SEED)
    lengths = random.integers(3, length + 1, examples)
    lengths[0] = length
    mask = (np.arange(length)[None] < lengths[:, None]).astype(np.int64)
    return {"input_ids": random.integers(1, vocabulary, (examples, length)) * mask, "attention_mask": mask}
