"""What a session foresees: finalists with the chance that their turn comes, and nothing for what the store has."""

from __future__ import annotations

from typing import Any

import pytest

from apps.agents.contracts.criteria import PROFILES
from apps.agents.contracts.state import JUDGING, JUDGING_ALL, JUDGING_WAIT, SessionState, Status, StepKind, StepRecord
from apps.agents.session.forecast import Foresight
from apps.agents.session.judging_ahead import JudgingAhead, judges
from apps.agents.session.search import Search
from apps.agents.techniques.catalogue import catalogue
from tests.agents.inmemory import InMemoryPipeline, Run, resnet

UNSURE = {"choosing_margin": 1.6, "drop_margin": 0.8}
"""Within the limit of one point as measured, but the interval reaches beyond it."""


def run(**changes: Any) -> Run:
    return InMemoryPipeline(resnet(**changes), PROFILES["balanced"], disabled=()).run()


def judging(state: SessionState, **changes: Any) -> JudgingAhead:
    return JudgingAhead(Search(state.model_copy(update=changes), catalogue()))


def before_judging(session: Run) -> SessionState:
    return next(state for state, one in zip(session.states, session.decisions, strict=True) if _asks(one.requests))


def _asks(requests: Any) -> bool:
    return any(judges(one) for one in requests)


def test_a_leader_that_is_as_good_as_proven_is_the_only_one_to_be_judged():
    ahead = judging(before_judging(run(drop_margin=0.1)))
    assert ahead.later_s == pytest.approx(ahead.each_s, rel=0.05)


def test_of_finalists_that_may_not_be_proven_each_counts_with_the_chance_of_its_turn():
    session = run(**UNSURE)
    ahead = judging(before_judging(session))
    finals = ahead.search.new_finals()
    assert finals is not None
    assert len(finals.keys) > 1
    chances = ahead.search.chances_of_proof(finals)
    turns = 1 + (1 - chances[finals.keys[0]]) * (1 if len(finals.keys) == 2 else 2 - chances[finals.keys[1]])
    assert 1.2 < turns < len(finals.keys)
    assert ahead.later_s == pytest.approx(turns * ahead.each_s)


def test_how_many_were_judged_on_the_same_examples_before_counts_as_much():
    state = before_judging(run(**UNSURE))
    alone = judging(state)
    each_s = alone.each_s
    many = judging(state, usual_s={JUDGING: each_s, JUDGING_ALL: 9 * each_s})
    few = judging(state, usual_s={JUDGING: each_s, JUDGING_ALL: each_s})
    assert few.later_s < alone.later_s < many.later_s
    finals = many.search.new_finals()
    assert finals is not None
    assert many.later_s <= len(finals.keys) * each_s, "no more than there are"


def test_what_one_judging_took_says_how_long_the_next_takes():
    state = next(one for one in run(**UNSURE).states if any(s.duration_s and judges(s.request) for s in one.steps))
    (took_s,) = [step.duration_s for step in state.steps if judges(step.request) and step.duration_s]
    assert judging(state, usual_s={JUDGING: 999.0, StepKind.EVALUATE: 1.0}).each_s == took_s


def test_how_long_judging_waits_for_a_quiet_machine_counts_besides_how_long_it_takes():
    state = next(one for one in run(**UNSURE).states if any(s.duration_s and judges(s.request) for s in one.steps))
    (judged,) = [step for step in state.steps if judges(step.request) and step.duration_s]
    before = judging(before_judging(run(**UNSURE)), usual_s={JUDGING: 40.0, JUDGING_WAIT: 5.0})
    assert (before.each_s, before.wait_s) == (before.work_s + 5, 5)

    waited = judged.model_copy(update={"duration_s": 60.0, "quiet_wait_s": 15.0})
    steps = tuple(waited if step is judged else step for step in state.steps)
    ahead = judging(state, steps=steps, usual_s={JUDGING: 40.0, JUDGING_WAIT: 5.0, JUDGING_ALL: 90.0})
    assert (ahead.work_s, ahead.wait_s, ahead.each_s) == (45, 10, 55), "as in this session and as usual"
    finals = ahead.search.finals
    assert finals is not None
    usual = min(len(finals.keys), 90 / 45) - 1
    assert ahead.later_s == pytest.approx((ahead._expected(finals) + usual) / 2 * 55)


def test_the_forecast_says_which_part_of_a_step_is_waiting():
    session = run(**UNSURE)
    place = next(place for place, one in enumerate(session.decisions) if _asks(one.requests))
    usual = {JUDGING: 40.0, JUDGING_WAIT: 5.0}
    asked = session.states[place].model_copy(update={"steps": session.states[place + 1].steps[:-1], "usual_s": usual})
    (request,) = session.decisions[place].requests
    steps = (*asked.steps, StepRecord(request=request, status=Status.RUNNING))
    forecast = Foresight(Search(asked.model_copy(update={"steps": steps}), catalogue())).forecast
    assert forecast.waits == {request.key: 5.0}
    assert forecast.steps[request.key] > 5


def test_where_the_store_had_what_was_made_so_far_the_rest_takes_less():
    state = next(one for one in run().states if sum(s.request.kind is StepKind.EVALUATE for s in one.steps) == 2)
    steps = tuple(
        step.model_copy(update={"taken": True}) if step.request.kind is StepKind.OPTIMIZE else step
        for step in state.steps
    )
    made, taken = (
        Foresight(Search(one, catalogue())).forecast.later_s
        for one in (state, state.model_copy(update={"steps": steps}))
    )
    assert taken < made
