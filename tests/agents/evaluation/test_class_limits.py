"""Limits on each class: the intervals, the verdict on the worst class, and reports from before there were any."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from apps.agents.contracts.criteria import Constraints, Criteria
from apps.agents.contracts.dataset_spec import DatasetSpec, Metric
from apps.agents.contracts.reports.constraints import Holds
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.reports.metrics import ClassComparison
from apps.agents.evaluation.decidability import Decides, decidability
from apps.agents.evaluation.metrics import scorer_for
from apps.agents.evaluation.quality import Question
from apps.agents.evaluation.rederiving import why_not
from apps.agents.measuring.statistics.intervals import share_difference
from tests.agents.evaluation.test_groups import CLASSIFY, classified, group, report
from tests.agents.evaluation.test_verdicts import NO_LIMITS, drop, measured, only

LIMITED = NO_LIMITS.model_copy(update={"max_class_drop_points": 5.0})


def judged(classes: tuple[ClassComparison, ...]) -> Any:
    return only(LIMITED, measured(classes=classes))


def test_the_drop_of_a_class_has_the_interval_of_a_group() -> None:
    labels = np.repeat([0, 1], 200)
    candidate = labels.copy()
    candidate[:20] = 1
    cat, dog = classified(labels, candidate, labels).classes(0.95)
    wider = share_difference(20, 0, 200, 0.975)
    assert cat.simultaneous == Estimate(value=10.0, low=(wider.low or 0) * 100, high=(wider.high or 0) * 100)
    assert cat.drop.low > cat.simultaneous.low
    assert (dog.drop.value, dog.p_corrected) == (0.0, 1.0)


def test_outputs_equal_to_the_last_bit_lose_exactly_nothing_in_any_class() -> None:
    labels = np.array([0, 1] * 10)
    classes = classified(labels, labels, labels).classes(0.95, identical=True)
    assert {one.simultaneous for one in classes} == {Estimate(value=0.0, low=0.0, high=0.0)}
    assert judged(classes).status is Holds.HOLDS


def test_the_sentence_names_the_worst_class() -> None:
    labels = np.repeat([0, 1], [900, 100])
    candidate = labels.copy()
    candidate[900:950] = 0
    verdict = judged(classified(labels, candidate, labels).classes(0.95))
    assert (verdict.constraint, verdict.status, verdict.unit) == ("max_class_drop_points", Holds.VIOLATED, "points")
    assert verdict.sentence.startswith("Of 2 classes, dog does worst: its recall fell by 50 points (95 % interval for")
    assert verdict.sentence.endswith("on 100 examples, beyond the limit of 5 points.")


def test_a_class_with_few_examples_says_how_many_more_it_needs() -> None:
    labels = np.repeat([0, 1], [900, 1])
    verdict = judged(classified(labels, labels, labels).classes(0.95))
    assert verdict.status is Holds.INCONCLUSIVE
    assert verdict.to_decide == (
        "The class dog has only one example: add more examples of it, or merge it with another class."
    )


def test_without_classes_the_limit_cannot_be_judged() -> None:
    assert judged(()).status is Holds.INCONCLUSIVE


def test_all_intervals_of_many_classes_hold_at_once() -> None:
    """With 40 classes that lose nothing by chance alone, none is violated in nearly all samples."""
    random, classes, size, samples = np.random.default_rng(5), 40, 50, 60
    labels = np.repeat(np.arange(classes), size)
    scorers = []
    for _ in range(samples):
        kind = random.choice(3, p=[0.05, 0.05, 0.9], size=len(labels))
        scorer = scorer_for(CLASSIFY, (len(labels), classes), ())
        answers = [np.where(kind == one, (labels + 1) % classes, labels) for one in (1, 0)]
        scorer.add(*(np.eye(classes)[one] for one in answers), labels)
        scorers.append(scorer)
    limits = NO_LIMITS.model_copy(update={"max_class_drop_points": 0.0})
    wrong = sum(only(limits, measured(classes=one.classes(0.95))).status is Holds.VIOLATED for one in scorers)
    assert wrong / samples <= 0.05 + 3 * (0.05 * 0.95 / samples) ** 0.5


def test_a_limit_on_classes_needs_every_example() -> None:
    assert Question(Criteria()).ends_early
    assert not Question(Criteria(constraints=Constraints(max_class_drop_points=5.0))).ends_early


def test_a_report_from_before_does_not_answer_a_limit_on_classes() -> None:
    old = ClassComparison(label="cat", examples=10, original_recall=90.0, candidate_recall=80.0)
    new = old.model_copy(update={"drop": Estimate(value=10.0), "simultaneous": Estimate(value=10.0)})
    limited = Criteria(constraints=LIMITED)
    assert why_not(report(classes=(old,)), Criteria(), Criteria()) is None
    assert why_not(report(classes=(old,)), Criteria(), limited) == "the interval of each class's loss was not measured"
    assert why_not(report(classes=(new,)), Criteria(), limited) is None


def test_what_the_smallest_class_can_decide() -> None:
    counts = {"cat": 1950, "owl": 50}
    found = decidability(CLASSIFY, 2000, Criteria(constraints=LIMITED), classes=counts).smallest_class
    assert found is not None
    assert (found.group, found.groups, found.decides) == ("owl", 2, Decides.NO)
    assert "Of 2 classes, owl is the smallest" in found.sentence
    assert decidability(CLASSIFY, 2000, Criteria(), classes=counts).smallest_class is None


# --- groups in the metric's own unit ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("limit", "status"), [(0.2, Holds.VIOLATED), (0.5, Holds.HOLDS)])
def test_a_group_of_numbers_is_judged_in_the_unit_of_the_labels(limit: float, status: Holds) -> None:
    error = drop(0.1, 0.0, 0.2, metric="mae", unit="°C", higher_is_better=False, label="mean absolute error")
    limits = NO_LIMITS.model_copy(update={"max_group_drop_unit": limit})
    groups = (group("north", 0.35, 0.3, 0.4), group("south", 0.0, -0.1, 0.1))
    verdict = only(limits, measured(error, groups=groups, group_metric=Metric.MAE))
    assert (verdict.constraint, verdict.status, verdict.unit) == ("max_group_drop_unit", status, "°C")
    assert "north does worst: its mean absolute error rose by 0.35 °C" in verdict.sentence
    assert f"the limit of {limit} °C" in verdict.sentence


def test_groups_of_vectors_are_judged_in_points() -> None:
    limits = NO_LIMITS.model_copy(update={"max_group_drop_points": 2.0})
    verdict = only(limits, measured(groups=(group("north", 6.0, 3.0, 9.0),), group_metric=Metric.COSINE))
    assert verdict.status is Holds.VIOLATED
    assert "its mean cosine similarity × 100 fell by 6 points" in verdict.sentence


def test_an_error_is_told_in_the_unit_of_the_labels() -> None:
    spec = DatasetSpec(kind="npz", task="regression", unit="°C")
    error = drop(
        0.03, 0.02, 0.04, metric="mae", label="mean absolute error", unit=spec.unit, higher_is_better=False,
        original=Estimate(value=0.6), candidate=Estimate(value=0.63),
    )  # fmt: skip
    shared = Constraints(max_metric_drop_points=None, max_metric_drop_relative=0.02)
    assert only(shared, measured(error)).sentence == (
        "Mean absolute error rose from 0.600 to 0.630 °C, by 5 % of its value (95 % interval 3.33 to 6.67), beyond the "
        "limit of 2 % (0.012 °C)."
    )
    own = Constraints(max_metric_drop_points=None, max_metric_drop_unit=0.1)
    verdict = only(own, measured(error))
    assert (verdict.constraint, verdict.unit, verdict.status) == ("max_metric_drop_unit", "°C", Holds.HOLDS)
    assert "by 0.03 °C" in verdict.sentence
    assert "within the limit of 0.1 °C" in verdict.sentence
