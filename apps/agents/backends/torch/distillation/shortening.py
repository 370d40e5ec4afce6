"""Students of transformers: the same network with fewer layers.

They start from layers of the teacher spread evenly over its depth, the first and the last among them, as DistilBERT
does (Sanh et al. 2019, https://arxiv.org/abs/1910.01108). Each layer learns the states of the teacher's layer at its
own share of the depth, as in TinyBERT (Jiao et al. 2020, https://arxiv.org/abs/1909.10351).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from apps.agents.backends.torch.model import TorchModel
from apps.agents.contracts.errors.distillation import StudentNotBuilt


@dataclass(frozen=True)
class Depth:
    """Layers of a teacher and of its student, counted from 0."""

    teacher: int
    student: int

    @property
    def kept(self) -> tuple[int, ...]:
        """The teacher's layer that each of the student's starts from."""
        if self.student == 1:
            return (0,)
        return tuple(round(place * (self.teacher - 1) / (self.student - 1)) for place in range(self.student))

    @property
    def learned(self) -> tuple[int, ...]:
        """The number, from 1, of the teacher's layer whose states each of the student's learns."""
        return tuple(round((place + 1) * self.teacher / self.student) for place in range(self.student))


def depth_of(model: TorchModel, left: float, label: str) -> Depth:
    """With the share `left` of the layers, one at least. Raises `StudentNotBuilt` if nothing would go."""
    count = layers_of(model, label)
    kept = max(1, round(left * count))
    if kept >= count:
        raise StudentNotBuilt(technique=label, reason=f"{left:.0%} of its {count} layers are all of them")
    return Depth(count, kept)


def layers_of(model: TorchModel, label: str) -> int:
    """The number of its layers. Raises `StudentNotBuilt` if they are not one list of layers of the same kind."""
    count = getattr(_text_config(model.module), "num_hidden_layers", None)
    if not isinstance(count, int) or _stack(model.module, count) is None:
        raise StudentNotBuilt(technique=label, reason="its layers are not one list of layers of the same kind")
    return count


def shortened(model: TorchModel, depth: Depth, seed: int, *, from_teacher: bool) -> TorchModel:
    """A copy of this depth with the teacher's weights, or with those that the library begins with."""
    teacher: Any = model.module
    stack = _stack(teacher, depth.teacher)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        student = type(teacher)(_shorter(teacher.config, depth))
    if from_teacher:
        student.load_state_dict(_renumbered(teacher.state_dict(), stack or "", depth.kept))
        student.tie_weights()
    return replace(model, module=student.eval())


def _text_config(module: Any) -> Any:
    config = getattr(module, "config", None)
    return config.get_text_config() if config is not None else None


def _stack(module: nn.Module, count: int) -> str | None:
    """The name of the one list of `count` layers of one class."""
    found = [
        name
        for name, part in module.named_modules()
        if isinstance(part, nn.ModuleList) and len(part) == count and len({type(layer) for layer in part}) == 1
    ]
    return found[0] if len(found) == 1 else None


def _shorter(config: Any, depth: Depth) -> Any:
    """The configuration with fewer layers; what it lists for each layer is listed for those that stay."""
    made = copy.deepcopy(config)
    text = made.get_text_config()
    for name, value in list(vars(text).items()):
        if isinstance(value, list) and len(value) == depth.teacher > 1:
            setattr(text, name, [value[number] for number in depth.kept])
    text.num_hidden_layers = depth.student
    return made


def _renumbered(weights: Mapping[str, torch.Tensor], stack: str, kept: tuple[int, ...]) -> dict[str, torch.Tensor]:
    places = {number: place for place, number in enumerate(kept)}
    made = {}
    for name, tensor in weights.items():
        found = re.fullmatch(rf"({re.escape(stack)}\.)(\d+)(\..+)", name)
        if found is None:
            made[name] = tensor
        elif (number := int(found[2])) in places:
            made[f"{found[1]}{places[number]}{found[3]}"] = tensor
    return made
