"""Where a training stands: all that is needed to go on from there as if nothing had happened.

What is drawn at random is drawn from the seed and the step's number, so the step is the sampler's and the generators'
whole state; the place on the schedule is the rate's.
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
    """What the teacher has said."""


def write_checkpoint(file: Path, kept: Checkpoint) -> None:
    """Write all of a training's state to `file`."""
    torch.save({**kept.__dict__, "state": asdict(kept.state)}, file)


def read_checkpoint(file: Path) -> Checkpoint:
    """What `write_checkpoint` wrote, in main memory. Nothing but tensors and numbers is unpickled."""
    kept = torch.load(file, map_location="cpu", weights_only=True)
    return Checkpoint(State(**kept["state"]), kept["model"], kept["best"], kept["optimizer"], kept["answers"])


def copied(module: torch.nn.Module) -> Weights:
    """The module's parameters and buffers, as they are now."""
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
