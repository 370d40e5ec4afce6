"""Families of transformers: each gives what the summary says it gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers

from apps.agents.backends.torch.engine import TorchEngine
from apps.agents.contracts.criteria import Target
from tests.agents.torch_uploads import folder_zip

FEEDS = {
    "input_ids": np.arange(10).reshape(2, 5),
    "attention_mask": np.ones((2, 5), np.int64),
    "pixel_values": np.zeros((2, 3, 32, 32), np.float32),
}
LENGTHS = {"batch": 2, "sequence": 5}
SMALL = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 48}
GROUPED = {**SMALL, "vocab_size": 96, "num_key_value_heads": 2}
MODELS: list[tuple[str, dict[str, Any], int | None]] = [
    ("GPT2LMHeadModel", {"n_embd": 32, "n_layer": 1, "n_head": 4, "vocab_size": 96, "n_positions": 64}, 64),
    ("RobertaForTokenClassification", {**SMALL, "vocab_size": 96, "max_position_embeddings": 66}, 64),
    ("DistilBertForQuestionAnswering", {"dim": 32, "n_layers": 1, "n_heads": 4, "hidden_dim": 48}, 512),
    ("MixtralForCausalLM", {**GROUPED, "num_local_experts": 4, "max_position_embeddings": 64}, 64),
    ("BloomForCausalLM", {"vocab_size": 96, "hidden_size": 32, "n_layer": 1, "n_head": 4}, None),
    ("ViTForImageClassification", {**SMALL, "image_size": 32, "patch_size": 8, "num_labels": 4}, None),
    ("ViTModel", {**SMALL, "image_size": 32, "patch_size": 8}, None),
]


@pytest.mark.parametrize(("name", "settings", "context"), MODELS, ids=[name for name, _, _ in MODELS])
def test_a_family_gives_what_its_summary_says(
    name: str, settings: dict[str, Any], context: int | None, tmp_path: Path
) -> None:
    kind = getattr(transformers, name)
    kind(kind.config_class(**settings)).save_pretrained(tmp_path / "files")
    engine = TorchEngine(folder_zip(tmp_path / "files", tmp_path / "model.zip"), tmp_path)
    summary = engine.summary
    outputs = engine.session(Target())({spec.name: FEEDS[spec.name] for spec in summary.inputs})
    assert len(outputs) == len(summary.outputs)
    for spec, output in zip(summary.outputs, outputs, strict=True):
        wanted = [LENGTHS.get(axis, axis) if isinstance(axis, str) else axis for axis in spec.shape]
        assert all(axis in (None, length) for axis, length in zip(wanted, output.shape, strict=True))
    if summary.language is not None:
        assert summary.language.context_length == context
