"""The minutes of a session's candidates: repairs have them too, and no training begins that cannot end in time."""

from __future__ import annotations

from dataclasses import fields

from apps.agents.contracts.chain import key_of
from apps.agents.contracts.criteria import PROFILES, Budget, Criteria
from apps.agents.contracts.reports.dataset import DatasetSummary
from apps.agents.contracts.state import SessionState, Status
from apps.agents.planning.minutes import MEASURED_BESIDES_S, judged_longer_s
from apps.agents.session.candidates import Trial
from apps.agents.session.search import Search
from apps.agents.techniques.catalogue import catalogue
from tests.agents.inmemory import EXPORT, STATIC, InMemoryPipeline, World, resnet
from tests.agents.planning.test_cuts import PRUNE, RECOVER, program

BALANCED = PROFILES["balanced"]
MINUTES = 30.0


class Taught(World):
    """A world with examples to train on."""

    @property
    def dataset(self) -> DatasetSummary:
        return super().dataset.model_copy(update={"training_examples": 800})


def taught() -> World:
    world = program()
    return Taught(**{one.name: getattr(world, one.name) for one in fields(world)})


def search_of(state: SessionState) -> Search:
    return Search(state, catalogue())


def pruned(search: Search) -> Trial:
    return next(trial for trial in search.trials if trial.planned.steps[0].technique == PRUNE)


def begun() -> list[SessionState]:
    """The states of a session from its plan on, up to the first pruning."""
    criteria = Criteria(budget=Budget(minutes=MINUTES))
    run = InMemoryPipeline(taught(), criteria, disabled=()).run()
    planned = [state for state in run.states if any(step.request.key == "plan" for step in state.steps)]
    return [state for state in planned if all(step.status is Status.COMPLETED for step in state.steps)]


def at(state: SessionState, minutes: float) -> SessionState:
    return state.model_copy(update={"worked_s": 60 * minutes})


def test_a_repair_has_minutes_as_what_it_repairs():
    session = InMemoryPipeline(resnet(fragile_operators={"Add": 4.0}), BALANCED).run()
    repairs = [one for one in session.last.candidates if one.parent]
    assert repairs
    for repair in repairs:
        before = session.candidate(repair.parent).predicted
        assert repair.predicted.minutes
        assert abs(repair.predicted.minutes - before.minutes) < 1
        assert "to make it" in (repair.predicted.minutes_basis or "")


def test_a_training_begins_only_if_it_can_end_within_the_budget():
    first = begun()[0]
    trial = pruned(search_of(first))
    assert trial.planned.steps[1].technique == RECOVER
    assert trial.planned.steps[1].parameters["minutes"] == 6.0
    assert search_of(at(first, 23.9)).passed_over(trial) is None
    late = search_of(at(first, 24.5)).passed_over(trial)
    assert late == "Left out: its training takes 6 minutes, and 5.5 of 30 are left."


def test_a_quick_candidate_is_measured_before_a_long_training():
    first = begun()[0]
    options = [option.candidate for option in search_of(first).options]
    trained = [any("minutes" in link.parameters for link in one.steps) for one in options]
    assert options[0].technique == EXPORT
    assert options[1].technique == STATIC
    assert not any(trained[:2])
    assert any(trained)
    one = first.criteria.model_copy(update={"budget": Budget(minutes=MINUTES, candidates=1)})
    alone = search_of(first.model_copy(update={"criteria": one})).options[0].candidate
    assert not any("minutes" in link.parameters for link in alone.steps), "with one place, what should lose nothing"


def test_a_training_that_has_begun_is_not_given_up():
    states = begun()
    trained = next(state for state in states if any(step.request.technique == RECOVER for step in state.steps))
    made = {step.request.parameters["minutes"] for step in trained.steps if step.request.technique == RECOVER}
    assert made == {6.0}
    search = search_of(at(trained, 29.0))
    chains = [trial for trial in search.trials if RECOVER in [link.technique for link in trial.planned.steps]]
    reasons = {trial.key: search.passed_over(trial) for trial in chains if not trial.started}
    begun_ones = [key for key, why in reasons.items() if why is None or "training takes" not in why]
    assert begun_ones
    assert len({key_of(search.by_key[key].planned.steps[:2]) for key in begun_ones}) == 1, "they share the training"


def test_time_to_judge_in_fresh_processes_is_kept():
    run = InMemoryPipeline(resnet(), BALANCED).run()
    state = next(state for state in run.states if search_of_planned(state) and search_of(state).judged)
    trial = next(trial for trial in search_of(state).trials if trial.report)
    timed_s = trial.evaluate.duration_s - MEASURED_BESIDES_S
    assert search_of(state).time_left.judging_s == trial.evaluate.duration_s + judged_longer_s(BALANCED, timed_s)
    assert judged_longer_s(BALANCED) == 1.5 * 20.0, "two budgets of timing in place of half of one"
    assert judged_longer_s(BALANCED, 10.0) == 1.5 * 20.0, "ranking took all of its share"
    assert judged_longer_s(BALANCED, 1.0) == 2.0 + 3 * 2.0 - 1.0, "few rounds told, so three processes should be enough"
    hasty = BALANCED.model_copy(update={"budget": Budget(minutes=1, candidates=12)})
    assert judged_longer_s(hasty) == 3.0 + 3 * 2.0 - 1.5, "three processes have to start"


def search_of_planned(state: SessionState) -> bool:
    return any(step.request.key == "plan" and step.status is Status.COMPLETED for step in state.steps)
