"""Trials of a search as rows: written while a step scores them, read by those that go on from them, and drawn live."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from apps.agents.contracts.job import TrialMade
from apps.agents.contracts.searching import SUPERNET, Portion, PortionMade, SupernetMade, TrialCard, search_key
from apps.agents.contracts.state import Status, StepKind
from apps.optimization import jobs, live, outcomes, trials
from apps.optimization.models import OptimizationSession, SearchTrial, SessionStep
from apps.optimization.runner import StepRun
from tests.optimization import exported

PARAMETERS = {"trials": 8, "batch": 4, "place": 1}
SEARCH = search_key("torch-search", PARAMETERS, {"teacher": "original"})

pytestmark = pytest.mark.django_db


def card(number: int, loss: float = 0.5, **changes: Any) -> TrialCard:
    usual = {"values": (8, number), "network": (f"width:stem={number}",), "latency_ms": number / 10, "macs": 90}
    return TrialCard(number=number, loss=loss, parameters=9, **{**usual, **changes})


def step_of(session: OptimizationSession, kind: StepKind, key: str, **fields: Any) -> SessionStep:
    usual = {"technique": "torch-search", "parameters": PARAMETERS, "further_parents": {"teacher": "original"}}
    return SessionStep.objects.create(session=session, kind=kind, key=key, **{**usual, **fields})


def portion_of(session: OptimizationSession, portion: Portion, name: str, **fields: Any) -> SessionStep:
    parameters = {"parameters": PARAMETERS, "portion": portion.model_dump(mode="json")}
    parents = {"teacher": "original", SUPERNET: SEARCH}
    key = f"{SEARCH}/{name}"
    return step_of(session, StepKind.TRIALS, key, parameters=parameters, further_parents=parents, **fields)


@pytest.fixture
def searching(session: OptimizationSession) -> OptimizationSession:
    """A session whose supernet is trained."""
    made = SupernetMade(sub_networks=9, limit_ms=1.0, original_ms=2.0).model_dump(mode="json")
    step_of(session, StepKind.SUPERNET, SEARCH, status=Status.COMPLETED, result=made)
    return session


def test_a_trial_is_a_row_as_soon_as_it_is_told(searching: OptimizationSession) -> None:
    step = portion_of(searching, Portion(of=2), "trials-1/1")
    assert step.take("shed:1", timedelta(minutes=1))
    run = StepRun(step)
    run.on_event(TrialMade(card=card(1)))
    run._write()
    row = SearchTrial.objects.get()
    assert (row.search, row.step_key, row.card, row.state) == (SEARCH, step.key, card(1), "scored")


def test_a_run_that_lost_its_claim_writes_no_trial(searching: OptimizationSession) -> None:
    step = portion_of(searching, Portion(), "trials-1/1")
    assert step.take("shed:1", timedelta(minutes=1))
    run = StepRun(step)
    SessionStep.objects.filter(pk=step.pk).update(claim=None)
    run.on_event(TrialMade(card=card(1)))
    run._write()
    assert not SearchTrial.objects.exists()
    assert run.lost.is_set()


def test_a_step_that_searches_for_nothing_writes_no_trial(searching: OptimizationSession) -> None:
    """Uploaded code runs in such steps too, and could say what it likes."""
    trials.keep(step_of(searching, StepKind.EVALUATE, "c01/evaluate"), [card(1)])
    assert not SearchTrial.objects.exists()


def test_a_finalist_keeps_its_row(searching: OptimizationSession) -> None:
    trials.keep(portion_of(searching, Portion(), "trials-1/1"), [card(1), card(2)])
    last = portion_of(searching, Portion(finalists=True, known=2), "finalists/1")
    last.result = PortionMade(trials=(card(2, alone_loss=0.25, alone_accuracy=90.0),)).model_dump(mode="json")
    outcomes.keep_report(last)
    rows = SearchTrial.objects.of_search(searching.pk, SEARCH)
    assert [(row.number, row.state, row.alone_loss) for row in rows] == [(1, "scored", None), (2, "trained", 0.25)]
    assert rows.last().step_key == last.key  # type: ignore[union-attr]


def test_what_comes_next_follows_from_the_rows_before_it_alone(searching: OptimizationSession) -> None:
    first = portion_of(searching, Portion(), "trials-1/1", status=Status.COMPLETED, result={"seconds": 2.0})
    mine = portion_of(searching, Portion(known=2, share=0, of=2), "trials-3/1")
    other = portion_of(searching, Portion(known=2, share=1, of=2), "trials-3/2")
    trials.keep(first, [card(2), card(1)])
    trials.keep(mine, [card(3)])
    trials.keep(other, [card(4)])
    known = trials.facts_of(mine)
    assert known["so_far"].trials == (card(1), card(2))
    assert known["made"] == (card(3),)
    found = step_of(searching, StepKind.OPTIMIZE, "c01/optimize", parameters={**PARAMETERS, "place": 2})
    so_far = trials.facts_of(found)["so_far"]
    assert [one.number for one in so_far.trials] == [1, 2, 3, 4]
    assert so_far.spent_s == 2.0


def test_an_optimize_step_without_a_search_of_its_own_searches_by_itself(searching: OptimizationSession) -> None:
    other = step_of(searching, StepKind.OPTIMIZE, "c01/optimize", parameters={**PARAMETERS, "trials": 9})
    assert trials.facts_of(other) == {}
    assert trials.supernet_for(other) is None
    assert SUPERNET not in jobs._blobs(other)


def test_trials_of_all_workers_are_drawn_until_the_network_found_is_trained(session: OptimizationSession) -> None:
    done = exported.finish(session)
    step_of(done, StepKind.SUPERNET, SEARCH, status=Status.COMPLETED, result={"limit_ms": 0.3})
    for share in range(2):
        step = portion_of(done, Portion(share=share, of=2), f"trials-1/{share + 1}", status=Status.RUNNING)
        trials.keep(step, [card(1 + share, loss=0.5 - share / 10)])
    html = live.fragments(done, writes=False)["curves"]
    assert "2 steps are scoring sub-networks" in html
    assert html.count("front-point") == 2
    assert "The limit on latency: 0.3" in html
    assert "Trial 2: 0.2 ms, loss 0.4, 9 parameters. On the front. width:stem=2" in html
    step_of(done, StepKind.OPTIMIZE, "c09/optimize", status=Status.RUNNING)
    assert "front-point" not in live.fragments(done, writes=False)["curves"]


def test_a_supernet_that_is_gone_is_said_and_searched_anew(searching: OptimizationSession) -> None:
    found = step_of(searching, StepKind.OPTIMIZE, "c01/optimize")
    assert trials.supernet_for(found) is None
    said = searching.log.get(step_key=found.key)
    assert (said.level, said.message) == (
        "warning",
        "The supernet of its search is not in the store any more. The step searches anew, by itself.",
    )
