"""Taking another candidate as pure rules: whether it may be, what an additional look costs, and what it says."""

from __future__ import annotations

import pytest

from apps.agents.contracts.criteria import PROFILES
from apps.agents.contracts.state import Status, StepRecord
from apps.agents.session.finalists import Finals
from apps.agents.session.further_look import all_right_at_least, further_keys, sharing_of
from apps.agents.session.manager import OptimizationManager
from apps.agents.session.taking import NotTakable, TakingResult, Takings, trade
from apps.agents.techniques.catalogue import catalogue
from tests.agents.inmemory import InMemoryPipeline, Run, resnet
from tests.optimization import material

FASTEST = PROFILES["fastest"]


@pytest.fixture(scope="module")
def ended() -> Run:
    return InMemoryPipeline(resnet(), FASTEST).run()


def takings(run: Run) -> Takings:
    return Takings(run.state, catalogue())


def other(run: Run) -> str:
    """An accepted candidate that was not judged."""
    return next(one.key for one in run.last.candidates if one.status == "accepted")


def test_each_further_look_widens_the_interval_and_lowers_what_all_verdicts_are_together() -> None:
    two = Finals(("c01", "c02"), {}, FASTEST)
    assert [sharing_of(two, looks) for looks in (1, 2)] == [3, 4]
    assert sharing_of(None, 1) == 1
    assert further_keys(two, ["c03"], "c04") == ["c01", "c02", "c03", "c04"]
    assert all_right_at_least(0.95, 2, 0) == pytest.approx(0.95)
    assert all_right_at_least(0.95, 2, 1) == pytest.approx(1 - 0.05 - 0.05 / 3)
    assert all_right_at_least(0.95, 0, 1) == pytest.approx(0.95)
    assert all_right_at_least(0.5, 1, 9) == 0.0


def test_an_accepted_candidate_that_was_not_judged_is_judged_with_the_finalists(ended: Run) -> None:
    request = takings(ended).begin(other(ended), "ada@example.org", file_missing=False)
    finalists = list(ended.last.verdict.choice.finalists)
    assert request.key == "take-1/judge"
    assert request.parameters["finalists"] == [*finalists, other(ended)]
    assert request.parameters["confidence"] == pytest.approx(1 - 0.05 / (len(finalists) + 1))


def test_the_same_state_gives_the_same_decision_and_the_old_verdict_stands_meanwhile(ended: Run) -> None:
    request = takings(ended).begin(other(ended), "ada@example.org", file_missing=False)
    queued = StepRecord(request=request, status=Status.QUEUED)
    state = ended.state.model_copy(update={"steps": (*ended.state.steps, queued)})
    decision = OptimizationManager().next(state)
    assert decision == OptimizationManager().next(state)
    assert (decision.requests, decision.verdict, decision.failure) == ((), None, None)
    assert next(one for one in decision.candidates if one.status == "selected").key == ended.last.verdict.candidate

    cancelled = queued.model_copy(update={"status": Status.CANCELLED})
    state = ended.state.model_copy(update={"steps": (*ended.state.steps, cancelled)})
    decision = OptimizationManager().next(state)
    assert decision.verdict == ended.last.verdict
    again = Takings(state, catalogue())
    assert again.result(again.takes[0]) is TakingResult.FAILED
    assert again.begin(other(ended), "ada@example.org", file_missing=False).key == "take-2/judge"


def test_what_is_delivered_rejected_unmeasured_or_unknown_cannot_be_taken(ended: Run) -> None:
    statuses = {one.key: one.status.value for one in ended.last.candidates}
    reasons = {"selected": "delivers already", "rejected": "it was rejected", "skipped": "never measured"}
    seen = set()
    for key, status in statuses.items():
        if status in reasons:
            with pytest.raises(NotTakable, match=reasons[status]):
                takings(ended).begin(key, "ada@example.org", file_missing=False)
            seen.add(status)
    assert "selected" in seen
    with pytest.raises(NotTakable, match="no candidate c99"):
        takings(ended).begin("c99", "ada@example.org", file_missing=False)


def test_a_file_that_has_to_be_made_again_is_judged_even_if_the_candidate_was(ended: Run) -> None:
    first = InMemoryPipeline(resnet(choosing_margin=1.0, unlucky={"c01": 5.0}), FASTEST).run()
    assert first.last.verdict.candidate != "c01"
    with pytest.raises(NotTakable, match="it was rejected"):
        takings(first).begin("c01", "ada@example.org", file_missing=True)
    assert takings(ended).begin(other(ended), "ada@example.org", file_missing=True).key == "take-1/judge"


def test_the_trade_names_what_is_given_up_and_gained_with_both_numbers() -> None:
    fast, safe = material.evaluation(speedup=3.0, drop=0.6), material.evaluation(speedup=1.5, drop=0.1)
    assert trade(safe, fast) == (
        "Against the manager's choice, it gives up speed (1.5× instead of 3× as fast) and it gains top-1 accuracy (a "
        "loss of 0.1 points instead of a loss of 0.6 points)."
    )
    assert trade(fast, fast) == "It measures the same as the manager's choice."
    assert trade(fast, None).startswith("Against the original, it gives up top-1 accuracy")
