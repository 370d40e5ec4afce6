"""Where a program is compared with its student: at the borders of its stages.

A stage ends where the size of the plane changes, by a layer or between two of them. What the next layer gets is
compared, which is after activation functions and sums. The last layer's input is always compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from apps.agents.backends.torch.distillation.inside import LayerInputs
from apps.agents.backends.torch.pruning.workload import CUT

MOST = 6
"""Places; of more, the last ones are used."""


@dataclass(frozen=True)
class _Seen:
    name: str
    axis: int
    given: torch.Tensor
    plane_before: torch.Size
    plane_after: torch.Size


def hints_of(module: nn.Module, tensors: Sequence[torch.Tensor]) -> LayerInputs:
    """The layers of `module` whose inputs are worth comparing, found by one run on `tensors`."""
    places = _places(_run(module, tensors))[-MOST:]
    return LayerInputs(tuple(one.name for one in places), tuple(one.axis for one in places))


def _run(module: nn.Module, tensors: Sequence[torch.Tensor]) -> list[_Seen]:
    """Convolutions and linear layers in the order in which they run."""
    seen: list[_Seen] = []

    def watch(name: str) -> Any:
        def keep(layer: nn.Module, given: Any, output: torch.Tensor) -> None:
            axis = -1 if isinstance(layer, nn.Linear) else 1
            seen.append(_Seen(name, axis, given[0], _plane(given[0], axis), _plane(output, axis)))

        return keep

    parts = [(name, part) for name, part in module.named_modules() if isinstance(part, CUT)]
    hooks = [part.register_forward_hook(watch(name)) for name, part in parts]
    try:
        with torch.no_grad():
            module(*tensors)
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def _places(seen: list[_Seen]) -> list[_Seen]:
    found: list[_Seen] = []
    for before, one in pairwise(seen):
        ends = one.plane_before != before.plane_after or one.plane_before != one.plane_after or one is seen[-1]
        first = one.given is seen[0].given
        if ends and not first and not any(one.given is other.given for other in found):
            found.append(one)
    return found


def _plane(values: torch.Tensor, axis: int) -> torch.Size:
    return values.shape[2:] if axis == 1 else values.shape[1:-1]
