"""A teacher and its student, and which parts of them are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from apps.agents.backends.torch.distillation.inside import Observed, Reader
from apps.agents.backends.torch.distillation.projections import Projections
from apps.agents.backends.torch.model import TorchModel
from apps.agents.techniques.distillation import StudentSize


@dataclass(frozen=True)
class Pair:
    """Both models on the CPU. Readers are `None` if only outputs are compared."""

    teacher: TorchModel
    student: TorchModel
    read_teacher: Reader | None = None
    read_student: Reader | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)
    channels: Sequence[int] = ()
    """The teacher's hidden channels that are the student's; empty if they do not correspond."""

    @property
    def size(self) -> StudentSize:
        return StudentSize(_parameters(self.student), _parameters(self.teacher))


class Learner(nn.Module):  # type: ignore[misc, unused-ignore]
    """A student and the projections that learn with it, so that one state dict and one optimizer hold both."""

    def __init__(self, student: nn.Module, projections: Projections) -> None:
        super().__init__()
        self.student = student
        self.projections = projections

    def forward(self, *given: Any, **named: Any) -> Any:
        return self.student(*given, **named)


def observed(model: TorchModel, reader: Reader | None, projections: Projections | None = None) -> Observed:
    """`model` whose call also gives what `reader` reads; a student's in the teacher's widths by its projections."""
    module = model.module if projections is None else Learner(model.module, projections)
    return Observed(
        module,
        model.format,
        model.summary,
        model.folder,
        model.encoder,
        model.positional,
        inner=model.module,
        reader=reader,
        projections=projections,
    )


def _parameters(model: TorchModel) -> int:
    """Each once, although several layers may share it."""
    return sum(weight.numel() for weight in model.module.parameters())


def tensors_of(model: TorchModel, feeds: Mapping[str, Any]) -> tuple[torch.Tensor, ...]:
    """`feeds` as the model's inputs, in its order."""
    given = model.tensors(feeds)
    return tuple(given[one.name] for one in model.summary.inputs)
