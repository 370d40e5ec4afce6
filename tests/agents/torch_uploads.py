"""PyTorch models as the files that a member uploads, one of each format."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from apps.agents.files.reproducible_zip import write_zip
from tests.agents.torch_models import SEED, Convolutional

CODE = '''"""The network that the weights belong to."""

import torch

from .layers import head


class Network(torch.nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.convolution = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.head = head(classes)

    def forward(self, x):
        return self.head(torch.relu(self.convolution(x)).mean((2, 3)))


def build(classes):
    return Network(classes)
'''
LAYERS = "import torch\n\n\ndef head(classes):\n    return torch.nn.Linear(8, classes)\n"
DESCRIPTION = """file = "model.py"
factory = "build"

[arguments]
classes = 5

[[input]]
name = "x"
dtype = "float32"
shape = ["batch", 3, 8, 8]
"""

LLAMA: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "tie_word_embeddings": True,
}


class Network(nn.Module):
    """What `CODE` builds."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 3, padding=1)
        self.head = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.convolution(x)).mean((2, 3)))  # type: ignore[no-any-return]


def network() -> Network:
    torch.manual_seed(SEED)
    return Network().eval()


def convolutional() -> Convolutional:
    torch.manual_seed(SEED)
    return Convolutional().eval()


def exported_file(path: Path) -> Path:
    """`convolutional()` as torch.export saves it, its batch free."""
    batch = torch.export.Dim("batch")
    program = torch.export.export(convolutional(), (torch.zeros(2, 3, 8, 8),), dynamic_shapes=({0: batch},))
    torch.export.save(program, path.with_suffix(".pt2"))
    return path.with_suffix(".pt2")


class Positions(nn.Module):
    """Token ids [batch, tokens] to three logits. It makes tensors as it goes, and holds one that is no buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(20, 8)
        self.places = nn.Embedding(32, 8)
        self.head = nn.Linear(8, 3)
        self.scales = torch.linspace(0.5, 1.5, 8)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        places = torch.arange(ids.shape[1], device=ids.device)
        seen = torch.tril(torch.ones(ids.shape[1], ids.shape[1], device=ids.device))
        rows = (self.tokens(ids) + self.places(places)) * self.scales * torch.tensor(2.0)
        return self.head((seen.to(rows.dtype) @ rows).mean(1))  # type: ignore[no-any-return]


def positions_file(path: Path) -> Path:
    """`Positions` as torch.export saves it, batch and tokens free."""
    torch.manual_seed(SEED)
    free = ({0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens", min=2, max=32)},)
    program = torch.export.export(Positions().eval(), (torch.zeros(2, 6, dtype=torch.long),), dynamic_shapes=free)
    torch.export.save(program, path)
    return path


def scripted_file(path: Path) -> Path:
    """`convolutional()` as TorchScript that says what it takes."""
    interface = '[[input]]\nname = "x"\nshape = ["batch", 3, 8, 8]\n'
    torch.jit.save(torch.jit.script(convolutional()), str(path), _extra_files={"lathe.toml": interface})
    return path


def described_zip(path: Path, files: Mapping[str, str | bytes | None] | None = None) -> Path:
    """`network()` as a state dict with its code; `files` replace some of the archive's, or leave them out by `None`."""
    folder = path.with_name(f"{path.name}-files")
    folder.mkdir()
    torch.save(network().state_dict(), folder / "weights.pt")
    given = {"lathe.toml": DESCRIPTION, "model.py": CODE, "layers.py": LAYERS, **(files or {})}
    for name, content in given.items():
        (folder / name).unlink(missing_ok=True)
        if content is not None:
            (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder_zip(folder, path)


def llama_folder(folder: Path, **settings: Any) -> Path:
    """A causal language model of two layers, of random weights, as transformers saves it."""
    torch.manual_seed(SEED)
    LlamaForCausalLM(LlamaConfig(**{**LLAMA, **settings})).eval().save_pretrained(folder)
    return folder


def folder_zip(folder: Path, path: Path, inside: str = "") -> Path:
    """The files of `folder` in a zip, at its root or in a folder `inside`."""
    return write_zip(path, [(inside + file.name, file) for file in sorted(folder.iterdir())], compress=False)


def word_tokenizer(folder: Path, words: int = 96) -> Path:
    """Put a tokenizer into `folder` that knows `w0` to `w{words - 3}`, `<unk>` and `</s>`."""
    vocabulary = {"<unk>": 0, "</s>": 1, **{f"w{index}": index + 2 for index in range(words - 2)}}
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": None,
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "<unk>", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder
