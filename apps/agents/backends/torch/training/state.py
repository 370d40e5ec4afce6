"""The state of a training: everything that is needed to continue as if nothing had happened.

Random numbers depend on the seed and the number of the step only, so that number is the whole state of the sampler and
of the generators. The learning rate depends on the place in the schedule only.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from apps.agents.techniques.training.state import State

Weights = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Checkpoint:
    state: State
    model: Weights
    best: Weights
    optimizer: dict[str, Any]
    answers: Weights
    """The teacher's answers so far."""


def write_checkpoint(file: Path, kept: Checkpoint) -> None:
    """Write the whole state of a training to `file`."""
    torch.save({**kept.__dict__, "state": asdict(kept.state)}, file)


def read_checkpoint(file: Path) -> Checkpoint:
    """What `write_checkpoint` wrote, in main memory. Only tensors and numbers are unpickled."""
    kept = torch.load(file, map_location="cpu", weights_only=True)
    return Checkpoint(State(**kept["state"]), kept["model"], kept["best"], kept["optimizer"], kept["answers"])


def copied(module: torch.nn.Module) -> Weights:
    """The module's parameters and buffers, as they are now."""
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
