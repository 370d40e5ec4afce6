"""Students of convolutional networks: the same layers with fewer channels.

torch-pruning's dependency graph (Fang et al. 2023, https://arxiv.org/abs/2301.12900) keeps widths consistent. The
channels with the largest weights stay, and with them their weights, unless the student starts afresh.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from apps.agents.backends.torch.distillation.pair import tensors_of
from apps.agents.backends.torch.model import TorchModel
from apps.agents.backends.torch.pruning.cutting import ROUNDS, Cutter, Manner
from apps.agents.backends.torch.pruning.workload import widths_of, workload_of
from apps.agents.contracts.errors.distillation import StudentNotBuilt
from apps.agents.measuring.engine import Feeds
from apps.agents.techniques.reduction import Reduction

CLOSE = 0.005
FARTHEST = 1.5
"""A student with more than so many times the parameters asked for is refused."""
FRESH_STD = 0.02
"""Of parameters outside layers, such as a table of positions."""


def narrowed(model: TorchModel, feeds: Feeds, rows: int, left: float, round_to: int, label: str) -> TorchModel:
    """A copy with about the share `left` of the parameters, in widths that are multiples of `round_to`.

    `model` is one of `to_cut`. Raises `StudentNotBuilt` if no copy comes close.
    """
    manner = Manner("magnitude", "local", "one-shot", round_to)
    tensors = tensors_of(model, feeds)
    cutter = Cutter(model.module, tensors, rows, manner, _nothing, workload_of(model.module, tensors, rows))
    if not cutter.cuttable:
        raise StudentNotBuilt(technique=label, reason=f"no layer can lose {round_to} of its channels")
    module, reduction = _closest(cutter, left)
    share = 1 - reduction.parameters_removed
    if share > FARTHEST * left:
        reason = (
            f"the closest one has {share:.0%} of the parameters instead of {left:.0%}; ask for more, or for widths in "
            f"multiples of less than {round_to}"
        )
        raise StudentNotBuilt(technique=label, reason=reason)
    return replace(model, module=module)


def _closest(cutter: Cutter, left: float) -> tuple[nn.Module, Reduction]:
    """By bisection over the share of channels that is cut."""
    low, high = 0.0, 1.0
    found: list[tuple[float, nn.Module, Reduction]] = []
    for _ in range(ROUNDS):
        middle = (low + high) / 2
        module, reduction = cutter.cut(middle)
        share = 1 - reduction.parameters_removed
        found.append((abs(share - left), module, reduction))
        if abs(share - left) < CLOSE:
            break
        low, high = (middle, high) if share > left else (low, middle)
    _, module, reduction = min(found, key=lambda one: one[0])
    return module, reduction


def changed_widths(before: nn.Module, after: nn.Module) -> dict[str, list[int]]:
    """Output channels before and after, of the layers whose number changed."""
    old, new = widths_of(before), widths_of(after)
    return {name: [old[name], new[name]] for name in old if old[name] != new[name]}


def start_afresh(module: nn.Module, seed: int) -> None:
    """Gives every layer the numbers that it begins with, in place; those outside layers are normally distributed."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for part in module.modules():
            if callable(reset := getattr(part, "reset_parameters", None)):
                reset()
                continue
            for weight in part.parameters(recurse=False):
                if weight.ndim > 1:
                    weight.normal_(std=FRESH_STD)


def _nothing(module: nn.Module) -> None:
    """Magnitudes take no gradients."""
