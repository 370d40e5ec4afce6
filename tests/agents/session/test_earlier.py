"""What a session takes over from the one that it continues, as the manager decides."""

from __future__ import annotations

import pytest

from apps.agents.contracts.chain import Application, key_of
from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.state import CandidateRecord, Choice, Earlier, Plan, Prediction, SessionState
from apps.agents.measuring.statistics.certainty import Contender, Prospect, finalists, proven_by_holm
from apps.agents.session.earlier import is_measured, judged_before, made_before, with_measured
from apps.agents.session.finalists import Finals, in_words
from tests.optimization import material

GRAPH = Application(technique="onnx-graph", parameters={}, title="Graph optimization", optional=True)
DYNAMIC = Application(technique="onnx-dynamic-int8", parameters={"per_channel": True}, title="Dynamic int8")
HALF = Application(technique="onnx-float16", parameters={}, title="Float16")


def candidate(key: str, *links: Application) -> CandidateRecord:
    predicted = Prediction(speedup=2.0, size_ratio=2.0, metric_drop_points=0.1, risk="low", basis="Measured elsewhere.")
    return CandidateRecord(key=key, steps=links, predicted=predicted, reason="Small.")


def state(*measured: CandidateRecord, gone: bool = False, judged: int = 0) -> SessionState:
    made = tuple(key_of(one.steps) for one in measured)
    earlier = Earlier(session="x", worked_s=60.0, judged=judged, made=made, measured=measured, gone=gone)
    return SessionState(criteria=Criteria(), model=material.MODEL, dataset=material.DATA, seed=7, earlier=earlier)


def plan(*candidates: CandidateRecord) -> Plan:
    return Plan(summary="A plan.", candidates=candidates, omitted=())


# --- the plan ---------------------------------------------------------------------------------------------------------


def test_measured_candidates_that_the_new_plan_lacks_are_added_under_new_keys() -> None:
    found = with_measured(plan(candidate("c01", HALF)), state(candidate("c01", DYNAMIC), candidate("c02", HALF)))
    assert [(one.key, one.technique) for one in found.candidates] == [
        ("c01", "onnx-float16"),
        ("c02", "onnx-dynamic-int8"),
    ]
    assert found.candidates[1].reason == "Measured in the session that this one continues. Small."


def test_a_repair_becomes_a_candidate_of_its_own() -> None:
    repair = candidate("c01r1", DYNAMIC).model_copy(update={"parent": "c01"})
    (added,) = with_measured(plan(), state(repair)).candidates
    assert (added.key, added.parent) == ("c01", None)


def test_links_that_a_chain_can_do_without_make_no_other_candidate() -> None:
    known = state(candidate("c01", DYNAMIC))
    with_preparation = candidate("c01", GRAPH, DYNAMIC)
    assert with_measured(plan(with_preparation), known).candidates == (with_preparation,)
    assert is_measured(with_preparation, known)
    assert not is_measured(candidate("c01", HALF), known)


def test_other_parameters_are_another_candidate() -> None:
    other = DYNAMIC.model_copy(update={"parameters": {"per_channel": False}})
    assert not is_measured(candidate("c01", other), state(candidate("c01", DYNAMIC)))


def test_what_a_deleted_session_measured_costs_again_and_keeps_its_key() -> None:
    gone = state(candidate("c01", DYNAMIC), gone=True)
    assert not is_measured(candidate("c01", DYNAMIC), gone)
    assert made_before(gone) == frozenset()
    assert [one.key for one in with_measured(plan(), gone).candidates] == ["c01"]


def test_a_session_that_continues_none_plans_as_it_did() -> None:
    alone = state().model_copy(update={"earlier": None})
    given = plan(candidate("c01", HALF))
    assert (with_measured(given, alone), judged_before(alone)) == (given, 0)


# --- the chance of error ----------------------------------------------------------------------------------------------


def test_finalists_share_the_chance_of_error_with_those_judged_before() -> None:
    finals = Finals(("c01", "c02"), {}, Criteria(), before=3)
    assert finals.sharing == 5


def test_what_was_judged_before_counts_as_not_proven() -> None:
    """Two finalists after three: the first must hold at a fifth of the chance, the other then at a fourth."""
    assert proven_by_holm({"c01": (True, True), "c02": (False, True)}, 5) == {"c01": 5, "c02": 4}
    assert proven_by_holm({"c01": (False, True), "c02": (False, True)}, 5) == {}


def test_after_many_judgements_the_safer_candidate_is_the_finalist() -> None:
    wide, narrow = Estimate(value=0.5, low=-0.1, high=1.1), Estimate(value=0.0, low=-0.1, high=0.1)
    daring = Contender("c01", 1.6, (Prospect(wide, limit=0.95, confidence=0.95, share=0.5),))
    safe = Contender("c02", 1.25, (Prospect(narrow, limit=0.95, confidence=0.95, share=0.5),))
    assert finalists([daring, safe], 0.95, most=1) == ("c01",)
    assert finalists([daring, safe], 0.95, most=1, before=3) == ("c02",)


@pytest.mark.parametrize(("earlier", "words"), [(1, "One candidate was judged"), (3, "3 candidates were judged")])
def test_the_choice_says_how_many_were_judged_before(earlier: int, words: str) -> None:
    choice = Choice(
        tried=2,
        choosing_examples=100,
        finalists=("c01",),
        earlier=earlier,
        judged=1,
        judging_examples=400,
        sharing=1 + earlier,
        confidence=0.975,
        sentence="",
    )
    assert words in in_words(choice)
    assert "judged on these examples before" not in in_words(choice.model_copy(update={"earlier": 0}))
