"""A comparison asks for two steps and ends with what the second one says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.reports.constraints import Holds
from apps.agents.contracts.reports.dataset import DatasetSummary
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.contracts.state import CandidateStatus, Outcome, SessionState, Status, StepRecord, Tone
from apps.agents.session.comparing import verdict_on
from apps.agents.session.manager import OptimizationManager

REPORTS = Path(__file__).resolve().parents[2] / "portal" / "reports"


def body(name: str) -> dict[str, Any]:
    return json.loads((REPORTS / f"{name}.json").read_text())


def state(*steps: StepRecord) -> SessionState:
    model = ModelSummary.model_validate(body("analysis")["model"])
    dataset = DatasetSummary.model_validate(body("dataset"))
    return SessionState(criteria=Criteria(), model=model, compared=model, dataset=dataset, seed=7, steps=steps)


def judged(*statuses: Holds) -> EvaluationReport:
    """A report whose limits end like this."""
    report = EvaluationReport.model_validate(body("evaluation"))
    limits = tuple(
        report.constraints[0].model_copy(update={"status": status, "to_decide": "800 more examples would decide"})
        for status in statuses
    )
    worst = next((one for one in (Holds.VIOLATED, Holds.INCONCLUSIVE) if one in statuses), Holds.HOLDS)
    return report.model_copy(update={"constraints": limits, "verdict": worst})


def completed(asked: Any, result: dict[str, Any]) -> StepRecord:
    return StepRecord(request=asked, status=Status.COMPLETED, result=result)


def test_it_analyses_then_judges_and_ends() -> None:
    manager = OptimizationManager()
    (analyse,) = manager.next(state()).requests
    assert (analyse.key, analyse.parameters) == ("analyse", {"sensitivity_budget_s": 0.0})
    assert manager.next(state(StepRecord(request=analyse, status=Status.RUNNING))).requests == ()
    looked = completed(analyse, body("analysis"))
    (judge,) = manager.next(state(looked)).requests
    assert (judge.key, judge.parameters, judge.parents) == ("c01/judge", {"part": "evaluation"}, {"model": "compared"})
    ended = manager.next(state(looked, completed(judge, judged(Holds.HOLDS).model_dump(mode="json"))))
    assert ended.verdict is not None
    assert (ended.verdict.outcome, ended.candidates[0].status) == (Outcome.PROVEN, CandidateStatus.SELECTED)


def test_a_lost_step_ends_it() -> None:
    (analyse,) = OptimizationManager().next(state()).requests
    lost = StepRecord(request=analyse, status=Status.FAILED, error_code="model.broken", error="It cannot be opened.")
    assert OptimizationManager().next(state(lost)).failure == ("model.broken", "It cannot be opened.")


@pytest.mark.parametrize(
    ("statuses", "outcome", "tone", "sentence"),
    [
        ((Holds.HOLDS, Holds.HOLDS), Outcome.PROVEN, Tone.GOOD, "Every limit is proven"),
        ((Holds.HOLDS, Holds.VIOLATED, Holds.INCONCLUSIVE), Outcome.VIOLATED, Tone.BAD, "1 of 3 limits violated"),
        ((Holds.INCONCLUSIVE,), Outcome.INCONCLUSIVE, Tone.OPEN, "1 of 1 limit not decided"),
        ((), Outcome.INCONCLUSIVE, Tone.OPEN, "No limit applies"),
    ],
)
def test_only_what_is_proven_is_proven(
    statuses: tuple[Holds, ...], outcome: Outcome, tone: Tone, sentence: str
) -> None:
    verdict = verdict_on(judged(*statuses))
    assert verdict.headline is not None
    assert (verdict.outcome, verdict.headline.tone, verdict.headline.sentence) == (outcome, tone, sentence)
    assert (verdict.candidate is not None) == (outcome is Outcome.PROVEN)
    assert (verdict.advice is not None) == (outcome is Outcome.INCONCLUSIVE)
    if Holds.INCONCLUSIVE in statuses:
        assert "800 more examples would decide." in verdict.inconclusive[0]
