"""A network that can be trained and what it learns from, as files, written without PyTorch: no test has to load it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

EXAMPLES = 240
CODE = """
import torch


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = torch.nn.Conv2d(1, 8, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(8)
        self.head = torch.nn.Linear(8, 10)

    def forward(self, x):
        return self.head(torch.relu(self.norm(self.convolution(x))).mean((2, 3)))
"""
DESCRIPTION = """
file = "model.py"
factory = "Network"

[[input]]
name = "x"
shape = ["batch", 1, 8, 8]

[[output]]
name = "logits"
shape = ["batch", 10]
"""


def network_zip(folder: Path) -> Path:
    """A state dict with its code, of random weights."""
    random = np.random.default_rng(0)
    tensors = {
        "convolution.weight": random.normal(0, 0.3, (8, 1, 3, 3)).astype(np.float32),
        "convolution.bias": np.zeros(8, np.float32),
        **{f"norm.{name}": np.ones(8, np.float32) for name in ("weight", "running_var")},
        **{f"norm.{name}": np.zeros(8, np.float32) for name in ("bias", "running_mean")},
        "norm.num_batches_tracked": np.array(0),
        "head.weight": random.normal(0, 0.3, (10, 8)).astype(np.float32),
        "head.bias": np.zeros(10, np.float32),
    }
    save_file(tensors, folder / "weights.safetensors")
    with zipfile.ZipFile(folder / "network.zip", "w") as archive:
        archive.write(folder / "weights.safetensors", "weights.safetensors")
        archive.writestr("model.py", CODE)
        archive.writestr("lathe.toml", DESCRIPTION)
    return folder / "network.zip"


def examples_npz(folder: Path) -> Path:
    """Pictures [N, 1, 8, 8] in float32 with labels 0 to 9; each class is brighter than the one before."""
    labels = np.arange(EXAMPLES) % 10
    pictures = np.random.default_rng(1).standard_normal((EXAMPLES, 1, 8, 8)) + labels[:, None, None, None]
    np.savez(folder / "examples.npz", x=pictures.astype(np.float32), y=labels)
    return folder / "examples.npz"
