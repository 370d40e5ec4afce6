"""Students of transformers: the same network with fewer hidden channels, heads and features."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import PreTrainedModel

from apps.agents.backends.torch.distillation.channels import CHANNELS, FEATURES, HEADS, axes_of, filled, taken
from apps.agents.backends.torch.distillation.importance import most_important
from apps.agents.backends.torch.distillation.widths import Widths, narrower, numbers, widths_of
from apps.agents.backends.torch.model import TorchModel
from apps.agents.backends.torch.width.expressing import Inexpressible, altered
from apps.agents.backends.torch.width.layer_inputs import Row
from apps.agents.contracts.errors.distillation import StudentNotBuilt

COMPARED = 2
"""Examples on which axes are checked."""


@dataclass(frozen=True)
class Slimmed:
    """A narrower model, the widths before and after, and the teacher's channels that it kept."""

    model: TorchModel
    before: Widths
    after: Widths
    channels: tuple[int, ...]
    """Empty if it starts afresh."""

    @property
    def evidence(self) -> dict[str, Any]:
        named = {"hidden_size": "hidden", "heads": "heads"}
        found = {name: [getattr(one, part) for one in (self.before, self.after)] for name, part in named.items()}
        return {**found, "features": [next(iter(one.features.values())) for one in (self.before, self.after)]}


def slimmed(
    model: TorchModel, left: float, rows: Sequence[Row], seed: int, label: str, *, from_teacher: bool
) -> Slimmed:
    """A copy with the share `left` of each width. `rows` are calibration examples without padding.

    It keeps the weights of the most important channels, heads and features, or has those that the library begins with.
    Raises `StudentNotBuilt` if the configuration cannot express it.
    """
    teacher: Any = model.module
    try:
        widths = widths_of(teacher.config)
        less = narrower(widths, left)
        _refuse_open_channels(model, widths)
        config = altered(teacher.config, numbers(teacher.config, less))
        if not from_teacher:
            return Slimmed(replace(model, module=_fresh(teacher, config, seed)), widths, less, ())
        axes = axes_of(teacher, widths, less, rows[:COMPARED])
        counts = {CHANNELS: less.hidden, HEADS: less.groups, FEATURES: next(iter(less.features.values()))}
        kept = most_important(teacher, axes, widths.hidden, counts, rows)
    except Inexpressible as error:
        raise StudentNotBuilt(technique=label, reason=str(error)) from error
    student = _like(teacher, filled(teacher, config, taken(teacher.state_dict(), axes, kept)))
    return Slimmed(replace(model, module=student), widths, less, tuple(kept(CHANNELS, "").tolist()))


def _refuse_open_channels(model: TorchModel, widths: Widths) -> None:
    """Raise `Inexpressible` if an output is made of hidden channels, so that it would become narrower too."""
    for output in model.summary.outputs:
        if output.shape and output.shape[-1] == widths.hidden:
            raise Inexpressible(
                f"its output {output.name} has its {widths.hidden} hidden channels, so that of a narrower model would "
                "not fit in its place"
            )


def _fresh(teacher: PreTrainedModel, config: Any, seed: int) -> PreTrainedModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _like(teacher, type(teacher)(config).to(teacher.dtype).eval())


def _like(teacher: PreTrainedModel, student: PreTrainedModel) -> PreTrainedModel:
    """With the teacher's settings for generation."""
    if student.can_generate():
        student.generation_config = copy.deepcopy(teacher.generation_config)
    student.config.use_cache = False
    return student
