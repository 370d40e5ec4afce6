"""What candidates cost in time: told beside the plan and held against the budget, and nothing is decided by it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from apps.agents.contracts.criteria import PROFILES, Budget, Criteria
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.experience import Learned, Lesson
from apps.agents.contracts.state import Plan, Prediction, StepKind, StepRequest
from apps.agents.contracts.step_jobs import StepFacts, job_for
from apps.agents.planning.agent import PlanningAgent
from apps.agents.planning.bases import bases_of_analyses
from apps.agents.planning.experience import with_experienced_minutes
from apps.agents.planning.minutes import MEASURING, Minutes
from apps.agents.planning.shared_steps import ANALYSIS, JUDGEMENT, PACKAGING
from apps.agents.session.time_left import foreseen_chains
from apps.agents.techniques.catalogue import catalogue
from apps.agents.techniques.knowledge.cost import Cost, CostFacts
from apps.agents.techniques.knowledge.tables import Knowledge
from apps.agents.techniques.knowledge.technique import Parameters, TechniqueKnowledge
from apps.agents.techniques.knowledge.throughput import Throughput
from tests.agents.inmemory import DATASET, STATIC, World, resnet
from tests.agents.torch_worlds import torch_encoder

if TYPE_CHECKING:
    from apps.agents.techniques.catalogue import TechniqueSpec

FASTEST = PROFILES["fastest"]
FACTS = CostFacts(forward_s=0.01, calibration_examples=500, training_examples=2000, parameters=10_000_000)


def planned(criteria: Criteria = FASTEST, *, latency_ms: float = 10.0, **known: object) -> Plan:
    world = replace(resnet(), latency_ms=latency_ms)
    return PlanningAgent().plan(world.analysis, criteria, DATASET, **known)


def within(minutes: float, candidates: int = 12) -> Criteria:
    return FASTEST.model_copy(update={"budget": Budget(minutes=minutes, candidates=candidates)})


def cost(technique: str, facts: CostFacts = FACTS, **parameters: object) -> Cost:
    spec = catalogue()[technique]
    return spec.knowledge.cost(spec, spec.resolve(parameters), facts)


# --- a technique ------------------------------------------------------------------------------------------------------


def test_every_technique_says_what_it_costs_and_why():
    for spec in catalogue().values():
        said = spec.knowledge.cost(spec, spec.resolve({}), FACTS)
        assert said.seconds > 0, spec.name
        assert said.basis, spec.name


def test_calibration_costs_runs_of_the_model():
    slower = replace(FACTS, forward_s=0.02)
    assert cost(STATIC, slower).seconds > 1.5 * cost(STATIC).seconds
    assert cost("onnx-float16", slower) == cost("onnx-float16")


def test_only_the_examples_that_are_asked_for_and_there_count():
    few, all_there, more = (cost("torch-gptq", calibration_examples=n).seconds for n in (10, 500, 4000))
    assert few < all_there == more


def test_training_costs_each_epoch_and_none_without_epochs():
    none, one, three = (cost("keras-magnitude-pruning", epochs=n).seconds for n in (0, 1, 3))
    assert three - one == pytest.approx(2 * (one - none))
    assert one - none == pytest.approx(4 * FACTS.training_examples * FACTS.forward_s)


def test_training_for_some_minutes_takes_them_whatever_the_model_is():
    for facts in (FACTS, replace(FACTS, forward_s=1.0)):
        took = cost("torch-recover", facts, minutes=5.0).seconds - cost("torch-recover", facts, minutes=1.0).seconds
        assert took == pytest.approx(240)


# --- step by step -----------------------------------------------------------------------------------------------------


def assert_adds_up(predicted: Prediction) -> None:
    assert predicted.minutes == pytest.approx(sum(one.minutes for one in predicted.steps), abs=1e-9)
    assert predicted.memory_bytes == max(one.memory_bytes or 0 for one in predicted.steps)
    assert predicted.disk_bytes == sum(one.disk_bytes or 0 for one in predicted.steps)


@pytest.mark.parametrize("world", [resnet(), torch_encoder()], ids=["onnx", "torch"])
def test_the_steps_of_every_candidate_add_up_to_what_is_told_of_it(world: World):
    for plan in (
        PlanningAgent().plan(world.analysis, FASTEST, world.dataset),
        PlanningAgent().preview(world.model, world.dataset, FASTEST),
    ):
        assert plan.candidates
        for candidate in plan.candidates:
            steps = candidate.predicted.steps
            assert_adds_up(candidate.predicted)
            assert steps[-1].title == MEASURING
            own = foreseen_chains(candidate.steps, catalogue())
            assert [one.technique for one in steps[:-1]] == [chain[-1].technique for chain in own]
        told = sum(one.minutes for one in plan.shared) + sum(one.predicted.minutes or 0 for one in plan.candidates)
        assert plan.minutes(len(plan.candidates)) == pytest.approx(told)


def test_what_several_candidates_start_from_is_listed_once_with_the_analysis_before_and_the_end_after():
    world = torch_encoder()
    titles = [one.title for one in PlanningAgent().preview(world.model, world.dataset, FASTEST).shared]
    assert titles[0] == ANALYSIS
    assert titles[-2:] == [JUDGEMENT, PACKAGING]
    assert len(titles) == len(set(titles))
    planned_titles = [one.title for one in PlanningAgent().plan(world.analysis, FASTEST, world.dataset).shared]
    assert ANALYSIS not in planned_titles


def test_a_step_takes_as_long_as_it_did_lately_and_says_so():
    knowledge = Knowledge(usual_s={"analyse": 90.0, "judge": 120.0})
    world = resnet()
    first, *_, judging, packaging = PlanningAgent(knowledge=knowledge).preview(world.model, DATASET, FASTEST).shared
    assert (first.minutes, judging.minutes) == (1.5, 2.0)
    assert "lately" in first.basis
    assert "estimated" in packaging.basis


def test_before_the_analysis_a_measured_throughput_tells_how_long_runs_take():
    world = resnet()
    parameters = world.model.parameters

    def at(each_s: float) -> Plan:
        throughput = Throughput(parameters_per_s=parameters / each_s, basis="measured by 3 sessions")
        return PlanningAgent(knowledge=Knowledge(throughput=throughput)).preview(world.model, DATASET, FASTEST)

    known = [at(0.1), at(0.001)]
    without = PlanningAgent().preview(world.model, DATASET, FASTEST)
    by_title = [{one.title: one.predicted for one in plan.candidates} for plan in (*known, without)]
    longer, shorter, least = (found[known[0].candidates[0].title] for found in by_title)
    assert (longer.minutes or 0) > (shorter.minutes or 0) > (least.minutes or 0)
    assert "measured by 3 sessions" in (longer.minutes_basis or "")
    assert "not known yet" in (least.minutes_basis or "")
    analysed = planned(latency_ms=100.0).candidates
    same = next(one for one in analysed if one.title == known[0].candidates[0].title)
    assert longer.minutes == pytest.approx(same.predicted.minutes, rel=0.2), "as by an analysis with that latency"


def test_longer_steps_of_earlier_sessions_lengthen_each_step():
    plain = planned().candidates[0].predicted
    lesson = Lesson(minutes=2.0, weight=0.5, sessions=3, similar_to="such networks on this machine")
    moved = with_experienced_minutes(plain, ("any",), Learned(lessons={"any": lesson}))
    assert moved.minutes == pytest.approx(2 * (plain.minutes or 0), rel=1e-3)
    assert_adds_up(moved)
    assert "2 times as long" in moved.steps[0].basis


# --- the plan ---------------------------------------------------------------------------------------------------------


def test_every_candidate_has_minutes_and_where_they_come_from():
    for candidate in planned().candidates:
        assert candidate.predicted.minutes
        assert "to make it" in (candidate.predicted.minutes_basis or "")


def test_a_slower_model_takes_longer():
    quick, slow = (planned(latency_ms=ms).candidates[0].predicted.minutes for ms in (1.0, 100.0))
    assert quick is not None
    assert slow is not None
    assert slow > 2 * quick


def test_the_plan_tells_the_total_against_the_budget():
    criteria = within(60)
    plan = planned(criteria)
    measured = plan.candidates[: criteria.budget.candidates]
    assert sum(candidate.predicted.minutes or 0 for candidate in measured) < 60
    assert f"Making and measuring all {len(measured)} should take" in plan.summary
    assert "the budget is 1 h." in plan.summary


def test_only_as_many_as_the_budget_allows_are_counted():
    assert "Making and measuring all 2 should take" in planned(within(60, candidates=2)).summary


def test_a_plan_that_is_longer_than_the_budget_says_so():
    minutes = planned(within(2)).candidates[0].predicted.minutes
    assert minutes is not None
    assert "so the last ones may not be measured." in planned(within(1.5 * minutes)).summary


def test_a_first_candidate_that_cannot_fit_is_told_before_it_starts():
    assert "Even the first candidate does not fit the budget" in planned(within(0.1)).summary
    world = resnet()
    preview = PlanningAgent().preview(world.model, DATASET, within(0.1))
    assert "Even the first candidate does not fit the budget" in preview.summary


def test_before_the_analysis_minutes_are_a_lower_bound():
    preview = PlanningAgent().preview(resnet().model, DATASET, FASTEST).candidates[0].predicted
    assert (preview.minutes_basis or "").startswith("At least, as the model's latency is not known yet")


def test_minutes_change_neither_candidates_nor_their_order():
    @dataclass(frozen=True)
    class Slow(TechniqueKnowledge):
        def cost(self, spec: TechniqueSpec, parameters: Parameters, facts: CostFacts) -> Cost:
            return Cost(1e6, "it is slow")

    def without_minutes(specs: dict[str, TechniqueSpec]) -> list[tuple[str, str]]:
        plan = PlanningAgent(specs).plan(resnet().analysis, FASTEST, DATASET)
        return [(candidate.key, candidate.title) for candidate in plan.candidates]

    # The technique has the default knowledge, so that nothing but its cost differs.
    plain = {**catalogue(), STATIC: catalogue()[STATIC].model_copy(update={"knowledge": TechniqueKnowledge()})}
    slow = {**plain, STATIC: plain[STATIC].model_copy(update={"knowledge": Slow()})}
    assert without_minutes(plain) == without_minutes(slow)


def test_the_training_part_of_the_data_counts():
    spec = catalogue()["keras-magnitude-pruning"]
    basis = bases_of_analyses(resnet().analysis, (), DATASET.task).original
    prediction = Prediction(speedup=1, size_ratio=1, metric_drop_points=0, risk="low", basis="")
    little, much = (
        Minutes(FASTEST, DATASET, share).foreseen([(spec, spec.resolve({}))], basis, prediction).minutes or 0.0
        for share in (0.1, 0.5)
    )
    assert much > little


def test_a_plan_step_is_told_how_much_of_the_data_may_be_trained_on():
    spec = DatasetSpec.model_validate({"kind": "npz", "task": "classification", "training_share": 0.5})
    facts = StepFacts(
        seed=0,
        original_format="onnx",
        format="onnx",
        criteria=FASTEST,
        dataset=spec,
        data=DATASET,
        analysis=resnet().analysis,
    )
    request = StepRequest(key="plan", kind=StepKind.PLAN, queue="cpu", reason="")
    assert job_for(request, facts, scratch=Path("/any"), inputs={}).arguments["training_share"] == 0.5


def test_predictions_from_before_have_no_minutes():
    old = {"speedup": 2, "size_ratio": 2, "metric_drop_points": 0, "risk": "low", "basis": "b"}
    assert Prediction.model_validate(old).minutes is None
