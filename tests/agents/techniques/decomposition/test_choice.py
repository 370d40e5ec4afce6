"""Which ranks a model's layers get under one budget, and which layers are left alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from apps.agents.techniques.decomposition.allocation import Budget, allocate, frontier
from apps.agents.techniques.decomposition.choice import Chooser, parsed
from apps.agents.techniques.decomposition.factors import Factors
from apps.agents.techniques.decomposition.layer import DenseLayer
from apps.agents.techniques.decomposition.options import Factorizer, Option
from apps.agents.techniques.decomposition.parameters import DECOMPOSITION
from apps.agents.techniques.decomposition.spread import Spread

USUAL: dict[str, Any] = {one.name: one.default for one in DECOMPOSITION} | {"multiple_of": 8}


class Measurer:
    """Time follows the work, times a layer's `drag`; the noise is a layer's `harm`."""

    def __init__(self, drag: float = 1.0, harm: dict[str, float] | None = None) -> None:
        self.drag, self.harm = drag, harm or {}

    def times_ms(self, factorizer: Factorizer, factors: Sequence[Factors]) -> list[float]:
        return [factorizer.layer.macs / 1e6, *(self.drag * one.macs(factorizer.layer) / 1e6 for one in factors)]

    def noise(self, factorizer: Factorizer, factors: Factors) -> float:
        return self.harm.get(factorizer.layer.name, 1.0) * factors.lost


def factorizer(name: str, seed: int, falling: float = 1e-3) -> Factorizer:
    """A layer whose singular values fall to this share of the largest."""
    random = np.random.default_rng(seed)
    turns = [np.linalg.qr(random.normal(size=(64, 64)))[0] for _ in range(2)]
    layer = DenseLayer(name, (turns[0] * np.geomspace(1.0, falling, 64)) @ turns[1], rows=10)
    return Factorizer(layer, Spread.unknown(64), 8, 0)


def chooser(measurer: Measurer, *factorizers: Factorizer) -> Chooser:
    whole = sum(one.layer.macs for one in factorizers)
    return Chooser(
        factorizers, len(factorizers), {"macs": whole, "bytes": whole / 10}, measurer, lambda share, what: None
    )


@pytest.mark.parametrize("budget", ["macs", "bytes", "latency"])
def test_the_budget_is_met(budget: str):
    made = chooser(Measurer(), factorizer("a", 0), factorizer("b", 1)).choose(
        {**USUAL, "budget": budget, "removed": 0.4}
    )
    assert 0.4 <= made.saved <= 0.5
    assert all(option.rank % 8 == 0 for option in made.replaced.values())


def test_a_layer_whose_factors_are_slower_is_left_with_its_times():
    made = chooser(Measurer(drag=3.0), factorizer("a", 0)).choose({**USUAL, "removed": 0.4})
    assert not made.replaced
    assert made.left["a"].startswith("too little time saved: at best 0.0")
    assert chooser(Measurer(drag=3.0), factorizer("a", 0)).choose({**USUAL, "removed": 0.4, "timed": False}).replaced


def test_a_layer_that_the_output_depends_on_keeps_more():
    energy, made = (
        chooser(Measurer(harm={"harmful": 20.0}), factorizer("calm", 0, 0.1), factorizer("harmful", 0, 0.1)).choose(
            {**USUAL, "removed": 0.3, "allocation": allocation}
        )
        for allocation in ("energy", "sensitivity")
    )
    kept = [1 - one.options["harmful"].lost for one in (energy, made)]
    assert kept[1] > kept[0]
    assert not energy.sensitivity


def test_what_was_chosen_can_be_given_again():
    made = chooser(Measurer(), factorizer("a", 0), factorizer("b", 1)).choose({**USUAL, "removed": 0.4})
    again = chooser(Measurer(), factorizer("a", 0), factorizer("b", 1)).given(made.names)
    assert {name: one.rank for name, one in again.replaced.items()} == {n: o.rank for n, o in made.replaced.items()}
    with pytest.raises(ValueError, match="'c' is not a layer that can be decomposed; those are a, b"):
        chooser(Measurer(), factorizer("a", 0), factorizer("b", 1)).given(["c=channel:8"])


@pytest.mark.parametrize("text", ["a", "a=channel", "a=channel:many", "=channel:8", "a=:8"])
def test_a_rank_that_cannot_be_read_says_how_it_should_look(text: str):
    with pytest.raises(ValueError, match="should read layer=form:rank"):
        parsed(text)


def test_a_name_may_contain_what_separates():
    assert parsed("/a=b/conv:1=spatial:8") == ("/a=b/conv:1", "spatial", 8)


def option(macs: int, lost: float) -> Option:
    return Option("channel", macs, macs, macs, lost)


def test_options_above_the_line_between_others_are_not_taken():
    options = [option(10, 0.0), option(8, 0.3), option(6, 0.05), option(4, 0.9), option(2, 0.2)]
    assert [one.macs for one in frontier(options, lambda one: one.macs)] == [10, 6, 2]


def test_what_a_coarse_last_step_made_unnecessary_is_taken_back():
    before = {"a": option(100, 0.0), "b": option(100, 0.0)}
    options = {"a": [option(90, 0.001)], "b": [option(10, 0.5)]}
    made = allocate(options, before, {"a": 1.0, "b": 1.0}, Budget(lambda one: one.macs, 200, 0.4))
    assert [made["a"].macs, made["b"].macs] == [100, 10]
