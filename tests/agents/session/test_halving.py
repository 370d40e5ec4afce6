"""Successive halving: when candidates are measured in portions, and what members are told of it."""

from __future__ import annotations

from typing import Any

import pytest

from apps.agents.contracts.criteria import PROFILES, Constraints, Criteria
from apps.agents.contracts.dataset_spec import COUNTING, MEANS, Metric
from apps.agents.contracts.reports.evaluation import EvaluationReport, Part
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.state import SessionState, Status, StepKind, StepRecord, StepRequest
from apps.agents.evaluation.quality import Question
from apps.agents.evaluation.selection import judge
from apps.agents.measuring.statistics.group_sequential import shares_for
from apps.agents.session.halving import FEWEST_EXAMPLES, can_rule_out, in_words, ranking_in_words, saves_time
from apps.agents.session.overview import Overview
from apps.agents.session.steps import ANALYSE
from apps.agents.techniques.catalogue import catalogue
from tests.agents.inmemory import DATASET, InMemoryPipeline, Truth, World, evaluation, resnet

MANY = DATASET.model_copy(update={"examples": 10_000})


def test_the_fewest_examples_are_those_that_can_be_divided():
    assert len(shares_for(FEWEST_EXAMPLES)) > 1
    assert shares_for(FEWEST_EXAMPLES - 1) == (1.0,)


@pytest.mark.parametrize(
    ("latency_ms", "examples", "saves"), [(10.0, 10_000, True), (0.2, 10_000, False), (1000.0, 2_000, False)]
)
def test_portions_are_used_where_examples_take_longer_than_all_else(latency_ms: float, examples: int, saves: bool):
    world = resnet(latency_ms=latency_ms)

    assert saves_time(world.analysis, DATASET.model_copy(update={"examples": examples})) is saves


class Slow(World):
    dataset = MANY  # type: ignore[assignment]


def test_every_candidate_of_a_slow_model_is_ranked_in_portions_and_judged_as_ever():
    known = resnet(latency_ms=10.0)
    world = Slow(**{name: getattr(known, name) for name in known.__dataclass_fields__})
    session = InMemoryPipeline(world, PROFILES["fastest"]).run()

    asked = [step.request for step in session.state.steps if step.request.kind is StepKind.EVALUATE]
    ranked = [one for one in asked if one.parameters["part"] == Part.CHOOSING]
    assert ranked
    assert all(one.parameters["in_portions"] for one in ranked)
    assert all("in_portions" not in one.parameters for one in asked if one not in ranked)


@pytest.mark.parametrize(
    ("metric", "limits", "outputs", "portions"),
    [
        (Metric.TOP1, {}, 1, True),
        (Metric.TOP1, {}, 2, False),
        (Metric.TOP1, {"max_output_deviation": None}, 2, True),
        (Metric.MACRO_F1, {}, 1, False),
        (Metric.MAE, {}, 1, True),
        (Metric.COSINE, {}, 1, True),
        (Metric.SEQUENCE_AGREEMENT, {}, 1, True),
        (Metric.MAE, {"max_group_drop_points": 1.0}, 1, False),
        (Metric.RMSE, {}, 1, False),
        (Metric.SPEARMAN, {}, 1, False),
        (Metric.PERPLEXITY, {}, 1, False),
        (Metric.TOP1, {"max_class_drop_points": 1.0}, 1, False),
        (Metric.TOP1, {"max_group_drop_points": 1.0}, 1, False),
        (Metric.TOP1, {"metric_limits": {"macro_f1": 1.0}}, 1, False),
        (Metric.TOP1, {"max_metric_drop_points": None}, 1, False),
    ],
)
def test_portions_are_promised_only_where_the_evaluation_looks_at_them(
    metric: Metric, limits: dict[str, Any], outputs: int, portions: bool
):
    constraints = Constraints.model_validate({"max_metric_drop_points": 1.0, **limits})
    assert can_rule_out(metric, constraints, outputs) is portions
    question = Question(Criteria(constraints=constraints), Part.CHOOSING, in_portions=True, several_outputs=outputs > 1)
    assert (len(question.shares(10_000)) > 1 and metric in COUNTING | MEANS) is portions

    known = resnet(latency_ms=10.0)
    state = SessionState(criteria=question.criteria, model=known.model, dataset=MANY, metric=metric, seed=7)
    analysis = known.analysis.model_copy(
        update={"model": known.model.model_copy(update={"outputs": known.model.outputs * outputs})}
    )
    analysed = StepRecord(
        request=StepRequest(key=ANALYSE, kind=StepKind.ANALYSE, queue="cpu", reason=""),
        status=Status.COMPLETED,
        result=analysis.model_dump(mode="json"),
    )
    told = Overview(state.model_copy(update={"steps": (analysed,)}), catalogue()).ranked_with
    assert ("in_portions" in told) is portions
    assert ("growing portions" in ranking_in_words("c01", told)) is portions


def report(drop: float, looks: tuple[int, ...], examples: int) -> EvaluationReport:
    found = evaluation(resnet(), Truth(3.0, 3.0, drop), PROFILES["fastest"], part=Part.CHOOSING)
    primary = found.primary.model_copy(update={"drop": Estimate(value=drop, low=drop - 1.5, high=drop + 1.5)})
    more = {"metrics": (primary,), "looks": looks, "examples": examples, "examples_of_part": 2000}
    return found.model_copy(update=more)


def test_a_dropped_candidate_says_after_how_many_examples_and_why():
    dropped = report(4.2, (500,), 500)

    action, sentence = in_words(dropped) or ("", "")
    assert action == "dropped"
    assert sentence.startswith("dropped after 500 of 2,000 validation examples: its loss of 4.2 points [2.7, 5.7] is ")
    assert not judge(dropped, PROFILES["fastest"]).accepted


def test_a_promoted_candidate_says_what_did_not_rule_it_out():
    assert in_words(report(0.2, (500, 1000, 2000), 2000)) == (
        "promoted",
        "promoted to all 2,000 validation examples: it was not ruled out after 500 and 1,000.",
    )


def test_nothing_is_said_where_all_examples_were_used_at_once():
    assert in_words(report(0.2, (), 2000)) is None
    assert in_words(None) is None
