"""Which limit on the loss holds for a metric, and what stored criteria mean by theirs."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import ValidationError

from apps.agents.contracts.criteria import PROFILES, STRICT_RISE, USUAL_RISE, Constraints, Criteria, merged
from apps.agents.contracts.dataset_spec import DatasetSpec, Metric
from apps.agents.contracts.identity import Work
from apps.agents.contracts.loss_limits import (
    drop_in_points,
    for_metric,
    for_task,
    has_scale,
    limit_in_words,
    planned_limit,
)
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.state import StepKind
from tests.agents.evaluation.test_verdicts import drop

CELSIUS = DatasetSpec(kind="table", task="regression", unit="°C")
CLASSES = DatasetSpec(kind="npz", task="classification")


def held(body: dict[str, Any], metric: Metric) -> tuple[float | None, float | None, float | None]:
    """The limits in points, in the unit, and as a share that hold for criteria stored as `body`."""
    limits = for_metric(Constraints.model_validate(body), metric)
    return limits.max_metric_drop_points, limits.max_metric_drop_unit, limits.max_metric_drop_relative


@pytest.mark.parametrize("metric", Metric)
def test_who_says_nothing_has_a_default_that_is_sound_for_every_metric(metric: Metric) -> None:
    points, unit, share = held({}, metric)
    if has_scale(metric):
        assert (points, unit, share) == (1.0, None, None)
    elif metric is Metric.NLL:
        assert (points, share) == (None, None)
        assert unit == pytest.approx(math.log(1.02), abs=1e-6), "the same as two per cent of perplexity"
    else:
        assert (points, unit, share) == (None, None, 0.02)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"max_metric_drop_points": 1.0}, (1.0, None, None)),
        ({"max_metric_drop_points": None}, (None, None, None)),
        ({"max_metric_drop_points": 1.0, "max_metric_drop_relative": 0.1}, (1.0, None, 0.1)),
        ({"max_metric_drop_points": 0.5, "default_rise": 0.01}, (None, None, 0.01)),
        ({"max_metric_drop_relative": 0.05}, (None, None, 0.05)),
        ({"max_metric_drop_unit": 250.0}, (None, 250.0, None)),
        ({"max_metric_drop_unit": 0.3, "max_metric_drop_relative": 0.05}, (None, 0.3, 0.05)),
    ],
)
def test_what_a_member_says_holds_for_an_error(body: dict[str, Any], expected: tuple[float | None, ...]) -> None:
    """The first three are criteria stored before there was a default: they keep their meaning."""
    assert held(body, Metric.MAE) == expected


def test_stored_criteria_keep_their_meaning_when_read_and_written_again() -> None:
    old = {"constraints": {"max_metric_drop_points": 1.0, "max_metric_drop_relative": None}}
    read = Criteria.model_validate(old)
    assert read.constraints.default_rise is None
    assert Criteria.model_validate(read.model_dump(mode="json")) == read


@pytest.mark.parametrize("spec", [CELSIUS, CLASSES])
def test_resolving_twice_changes_nothing(spec: DatasetSpec) -> None:
    for criteria in PROFILES.values():
        once = for_task(criteria, spec)
        assert for_task(Criteria.model_validate(once.model_dump(mode="json")), spec) == once


@pytest.mark.parametrize("metric", Metric)
def test_safest_is_stricter_than_balanced_for_every_metric(metric: Metric) -> None:
    balanced, safest = (for_metric(PROFILES[name].constraints, metric) for name in ("balanced", "safest"))
    for one in (balanced, safest):
        assert (one.drop_limit is None) != (one.max_metric_drop_relative is None), "exactly one of them holds"
    assert (safest.drop_limit or safest.max_metric_drop_relative or 9) < (
        balanced.drop_limit or balanced.max_metric_drop_relative or 0
    )
    assert STRICT_RISE < USUAL_RISE


def test_points_that_replace_points_are_what_the_member_says() -> None:
    stored = Criteria().model_dump(mode="json")
    said = Criteria.model_validate(merged(stored, {"constraints": {"max_metric_drop_points": 0.5}}))
    assert held(said.constraints.model_dump(), Metric.MAE) == (0.5, None, None)
    other = Criteria.model_validate(merged(stored, {"constraints": {"min_speedup": 2.0}}))
    assert other.constraints.default_rise == USUAL_RISE


def test_a_limit_in_the_unit_does_not_limit_a_share() -> None:
    assert held({"max_metric_drop_unit": 0.3}, Metric.TOP1) == (1.0, None, None)
    limits = Constraints(max_group_drop_unit=0.3, max_group_drop_points=4.0)
    assert for_metric(limits, Metric.TOP1).group_limit == 4.0
    assert for_metric(limits, Metric.MAE).group_limit == 0.3


@pytest.mark.parametrize(
    ("limits", "spec", "original", "words"),
    [
        (
            Constraints(),
            CELSIUS,
            0.6,
            "Mean absolute error may rise by at most 0.012 °C: 2 % of the original's 0.6 °C. This is the default, "
            "because the criteria give no limit in this unit.",
        ),
        (
            Constraints(max_metric_drop_relative=0.05),
            CELSIUS,
            None,
            "Mean absolute error may rise by at most 5 % of the original's value, which is not measured yet.",
        ),
        (Constraints(max_metric_drop_unit=0.3), CELSIUS, 0.6, "Mean absolute error may rise by at most 0.3 °C."),
        (Constraints(), CLASSES, None, "Top-1 accuracy may fall by at most 1 point."),
        (Constraints(max_metric_drop_points=None), CLASSES, None, "Nothing limits the loss of top-1 accuracy."),
        (
            Constraints(),
            DatasetSpec(kind="npz", task="embedding", pairs=True),
            80.0,
            "Spearman correlation × 100 may fall by at most 1 point.",
        ),
    ],
)
def test_the_limit_is_told_in_its_unit(limits: Constraints, spec: DatasetSpec, original: float, words: str) -> None:
    criteria = Criteria(constraints=limits)
    assert limit_in_words(criteria, spec, original) == words
    assert limit_in_words(for_task(criteria, spec), spec, original) == words, "frozen criteria say the same"


def test_predictions_are_compared_in_points() -> None:
    assert planned_limit(for_metric(Constraints(), Metric.MAE)) == pytest.approx(2.0)
    assert planned_limit(for_metric(Constraints(), Metric.TOP1)) == 1.0
    assert planned_limit(for_metric(Constraints(max_metric_drop_unit=0.3), Metric.MAE)) is None
    error = {"metric": "mae", "unit": "°C", "higher_is_better": False, "original": Estimate(value=0.5)}
    assert drop_in_points(drop(0.1, 0.0, 0.2, **error)) == pytest.approx(20.0)
    assert drop_in_points(drop(0.1, 0.0, 0.2)) == 0.1


def test_a_unit_belongs_to_numbers() -> None:
    assert (CELSIUS.unit_of(Metric.MAE), CELSIUS.unit_of(Metric.R2)) == ("°C", "points")
    assert DatasetSpec(kind="table", task="regression").unit_of(Metric.RMSE) == ""
    for task, unit in (("classification", "kg"), ("regression", "%"), ("regression", " kg")):
        with pytest.raises(ValidationError, match="unit"):
            DatasetSpec(kind="npz", task=task, unit=unit)


def test_work_without_a_unit_keeps_its_identity() -> None:
    """As it was computed before there were units, so that earlier results are found again."""
    fields: dict[str, Any] = {
        "kind": StepKind.ANALYSE,
        "parameters": {},
        "inputs": {},
        "signature": None,
        "dataset": "0" * 64,
        "seed": 1,
        "threads": 1,
    }
    plain = DatasetSpec(kind="table", task="regression")
    assert Work(reading=plain, **fields).identity == UNCHANGED
    assert Work(reading=CELSIUS, **fields).identity != UNCHANGED


UNCHANGED = "f53bef4e1fd54d0150089fb40fbaed62ae5bd5ddf79d0fbe15c55b61eabf6991"
