"""The proposals of a refinement follow from what was measured and a seed, and from nothing else."""

from __future__ import annotations

import math
import random

import pytest

from apps.agents.contracts.chain import Application
from apps.agents.contracts.refinement import Dimension, Observed, RefineParameters
from apps.agents.contracts.state import CandidateRecord, Prediction
from apps.agents.planning.sampling import MANY, propose

SHARE = Dimension(link=0, parameter="share", low=0.3, high=0.7)
WIDTH = Dimension(link=1, parameter="multiple_of", low=8, high=32, step=8)
TYPE = Dimension(link=1, parameter="type", choices=("int8", "uint8"))
AROUND = CandidateRecord(
    key="c01",
    steps=(
        Application(technique="prune", parameters={"share": 0.5}, title="Pruning"),
        Application(technique="quantize", parameters={"multiple_of": 16, "type": "int8"}, title="Quantization"),
    ),
    predicted=Prediction(speedup=2.0, size_ratio=2.0, metric_drop_points=0.2, risk="low", basis="Told."),
    reason="It is the first.",
)


def observed(number: int, share: float, width: int = 16, kind: str = "int8") -> Observed:
    """Faster with a larger share, and beyond the limit from 0.5 on."""
    drop = max(0.0, share - 0.45) * 20
    return Observed(
        candidate=f"c{number:02d}",
        setting={"0.share": share, "1.multiple_of": width, "1.type": kind},
        objectives={"speedup": math.log(1 / (1 - share)), "drop": drop},
        beyond={"max_metric_drop_points": drop - 1.0},
    )


def parameters(*measured: Observed, count: int = 4) -> RefineParameters:
    known = tuple(one.setting for one in measured)
    return RefineParameters(
        around=AROUND, dimensions=(SHARE, WIDTH, TYPE), observed=measured, known=known, count=count, best=1.0
    )


def few() -> RefineParameters:
    return parameters(observed(1, 0.3), observed(2, 0.5), observed(3, 0.6, 8), observed(4, 0.7, 32, "uint8"))


def many(rng: random.Random, share: tuple[float, float] = (0.3, 0.7)) -> RefineParameters:
    draws = [(round(rng.uniform(*share), 2), rng.choice((8, 16, 24, 32)), rng.choice(TYPE.choices)) for _ in range(64)]
    return parameters(*(observed(number, *drawn) for number, drawn in enumerate(draws)), count=8)


def test_the_same_measurements_and_seed_give_the_same_proposals():
    assert propose(few(), 7) == propose(few(), 7)
    assert propose(few(), 7) != propose(few(), 8)


def test_proposals_are_allowed_new_and_different():
    asked = few()
    found = propose(asked, 7)
    assert len(found.proposals) == asked.count
    for number, setting in enumerate(found.proposals):
        assert set(setting) == {"0.share", "1.multiple_of", "1.type"}
        assert all(one.holds(setting[one.name]) for one in asked.dimensions)
        assert setting not in (*asked.known, *found.proposals[:number])


def test_a_number_has_no_more_digits_than_matter():
    assert all(round(one["0.share"], 2) == one["0.share"] for one in propose(few(), 7).proposals)


def test_nothing_is_proposed_twice_where_every_value_is_known():
    both = tuple(observed(number, 0.5, 16, kind) for number, kind in enumerate(("int8", "uint8")))
    asked = parameters(*both).model_copy(update={"dimensions": (TYPE,)})
    settings = tuple({"1.type": one.setting["1.type"]} for one in both)
    measured = tuple(one.model_copy(update={"setting": its}) for one, its in zip(both, settings, strict=True))

    assert propose(asked.model_copy(update={"observed": measured, "known": settings}), 7).proposals == ()


def test_settings_beyond_a_limit_show_where_not_to_look():
    """Without the constraint, a larger share is as good as a smaller one: faster, but lossier."""
    asked = parameters(*(observed(number, 0.3 + number / 50) for number in range(21)), count=8)
    free = asked.model_copy(update={"observed": tuple(one.model_copy(update={"beyond": {}}) for one in asked.observed)})

    means = [sum(one["0.share"] for one in propose(some, 7).proposals) / 8 for some in (asked, free)]
    assert means[0] < 0.5 < means[1]


@pytest.mark.parametrize(("count", "name"), [(MANY - 1, "TPE"), (MANY, "NSGA-II")])
def test_many_measurements_are_left_to_a_genetic_algorithm(count: int, name: str):
    asked = parameters(*(observed(number, round(0.3 + number / 200, 3)) for number in range(count)))
    assert name in propose(asked, 7).sampler


def test_the_genetic_algorithm_starts_from_what_was_measured():
    """Its parents are the measured candidates: where all of them have small shares, its proposals are smaller."""
    small, large = (many(random.Random(3), share) for share in ((0.3, 0.4), (0.6, 0.7)))
    means = [sum(one["0.share"] for one in propose(asked, 7).proposals) / 8 for asked in (small, large)]
    assert means[0] + 0.05 < means[1]
