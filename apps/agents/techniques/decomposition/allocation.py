"""Chooses one option for each layer, so that a share of a budget for the whole model is saved at the least loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from apps.agents.techniques.decomposition.options import Option

Cost = Callable[[Option], float]
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Budget:
    """What the model costs, and what it may cost."""

    cost: Cost
    """Of one option: multiply-accumulates, stored numbers or milliseconds."""
    whole: float
    """Of the model as it is, with all that cannot be replaced."""
    removed: float
    """The share to remove, 0 to 1."""

    def saved(self, chosen: Mapping[str, Option], before: Mapping[str, Option]) -> float:
        """The share that is removed by what is chosen."""
        gain = sum(self.cost(before[name]) - self.cost(option) for name, option in chosen.items())
        return gain / self.whole if self.whole else 0.0

    def met(self, chosen: Mapping[str, Option], before: Mapping[str, Option]) -> bool:
        return self.saved(chosen, before) >= self.removed - _ROUNDING


def frontier(options: Sequence[Option], cost: Cost) -> list[Option]:
    """The lower convex hull of loss over cost, the dearest first: no mixture of two others costs and loses less."""
    best: list[Option] = []
    for option in sorted(options, key=lambda one: (-cost(one), one.lost)):
        while best and option.lost <= best[-1].lost:
            best.pop()
        while len(best) > 1 and _rate(best[-2], best[-1], cost) >= _rate(best[-2], option, cost):
            best.pop()
        best.append(option)
    return best


def allocate(
    options: Mapping[str, Sequence[Option]], before: Mapping[str, Option], weight: Mapping[str, float], budget: Budget
) -> dict[str, Option]:
    """The layers' options: each step, the layer that loses least for what it saves takes the next on its frontier.

    `weight` says what a layer's loss costs the output. Where steps are coarse, the last ones are taken back as far as
    the budget allows, those that lose most first. All that can be saved is taken if the budget cannot be met.
    """
    chosen = dict(before)
    lines = {name: frontier([before[name], *more], budget.cost) for name, more in options.items()}
    steps = [
        (weight[name] * _rate(one, other, budget.cost), place, name, other)
        for name, line in lines.items()
        for place, (one, other) in enumerate(pairwise(line))
    ]
    for _, _, name, option in sorted(steps, key=lambda step: step[:3]):
        if budget.met(chosen, before):
            break
        chosen[name] = option
    return _taken_back(chosen, options, before, weight, budget)


def _taken_back(
    chosen: dict[str, Option],
    options: Mapping[str, Sequence[Option]],
    before: Mapping[str, Option],
    weight: Mapping[str, float],
    budget: Budget,
) -> dict[str, Option]:
    for name in sorted(chosen, key=lambda one: -weight.get(one, 0.0) * chosen[one].lost):
        gentler = [one for one in (before[name], *options.get(name, ())) if one.lost < chosen[name].lost]
        for option in sorted(gentler, key=lambda one: one.lost):
            if budget.met({**chosen, name: option}, before):
                chosen[name] = option
                break
    return chosen


def _rate(one: Option, other: Option, cost: Cost) -> float:
    """What the second loses more for each unit that it saves."""
    return (other.lost - one.lost) / max(cost(one) - cost(other), 1e-30)
