"""What `manage.py demo` shows of a session."""

from __future__ import annotations

import pytest

from apps.agents.contracts.errors.techniques import TechniqueNoEffect
from apps.agents.contracts.forecast import Forecast
from apps.agents.contracts.reports.constraints import Holds
from apps.agents.contracts.state import CandidateStatus, Choice, Outcome, Phase, Status, StepKind
from apps.optimization.models import Candidate, EvaluationReport, SessionStep
from lathe import terminal
from tests.optimization import material

pytestmark = pytest.mark.portable


def candidate(session, key, title, status, **numbers):
    """A candidate that was measured."""
    row = Candidate.objects.create(
        session=session,
        key=key,
        **material.chain(("onnx-dynamic-int8", title)),
        predicted=material.PREDICTION.model_dump(mode="json"),
        status=status,
        reason="Because.",
    )
    report = material.evaluation(**numbers)
    body = report.model_dump(mode="json")
    EvaluationReport.objects.create(
        candidate=row,
        step=SessionStep.objects.create(session=session, key=f"{key}/evaluate", kind=StepKind.EVALUATE, result=body),
        speedup=report.latency.speedup.value,
        size_ratio=report.size_bytes.ratio,
        metric_drop=report.primary.drop.value,
        candidate_p50_ms=report.latency.candidate.p50_ms,
        candidate_metric=report.primary.candidate.value,
        verdict=report.verdict,
    )
    return row


def test_the_line_says_how_far_what_and_how_long(session):
    session.status, session.phase, session.progress = Status.RUNNING, Phase.OPTIMIZING, 0.5
    session.forecast = Forecast(steps={"c01/optimize": 45.0}, later_s=30.0).model_dump(mode="json")
    session.save()
    SessionStep.objects.create(session=session, key="c01/optimize", kind=StepKind.OPTIMIZE, status=Status.RUNNING)
    assert terminal.progress_line(session) == "███████████████░░░░░░░░░░░░░░░  50%  optimizing, 1 min 15 s left"


def test_the_line_shows_the_running_step_and_fits_the_terminal(session):
    SessionStep.objects.create(
        session=session, key="analyse", kind=StepKind.ANALYSE, status=Status.RUNNING, message="Measuring the latency"
    )
    assert terminal.progress_line(session).endswith(" · Measuring the latency")
    short = terminal.progress_line(session, width=50)
    assert len(short) == 50
    assert short.endswith("…")


def test_the_report_holds_the_candidates_against_the_original(session):
    candidate(session, "c01", "Static int8", CandidateStatus.SELECTED, speedup=4.0, drop=0.1)
    candidate(session, "c02", "Dynamic int8", CandidateStatus.REJECTED, speedup=0.5, verdict=Holds.VIOLATED)
    session.status, session.outcome = Status.COMPLETED, Outcome.IMPROVED
    session.verdict = {"outcome": "improved", "candidate": "c01", "reason": "Static int8 is 4 times faster."}
    head, rule, examples, original, first, second, *rest = terminal.report(session).splitlines()
    assert head.split("  ")[-1] == "verdict"
    assert "top-1 accuracy %" in head
    assert set(rule) == {"─"}
    assert examples == "on 800 examples:"
    assert original.split() == ["original", "90.00", "1.000", "0.40", "30"]
    assert first.split()[:3] == ["c01", "89.90", "unchanged"]
    assert first.endswith("4.00× (3.88 to 4.12)  0.10    4.00×         25  holds, selected")
    assert second.endswith("violated, rejected")
    assert "c01: Static int8" in rest
    assert "Limits for c01:" in rest
    assert "  holds        It loses 0.1 points." in rest
    assert "unchanged (−0.10)" in first
    assert rest[-3:] == [
        "Better, and it still works: 4.0× faster and 4.0× smaller; top-1 accuracy unchanged (−0.1 points).",
        "Static int8 is 4 times faster.",
        "It worked for 0.0 minutes and waited for 0.0 minutes.",
    ]


def test_candidates_that_were_never_measured_are_counted(session):
    for key in ("c01", "c02"):
        Candidate.objects.create(session=session, key=key, **material.chain(("x", key)), predicted={}, reason="")
    assert "2 more were planned but not measured." in terminal.report(session)


@pytest.mark.parametrize(
    ("traceback", "shown"),
    [("", "  analyse: The model cannot be loaded."), ("Traceback\nKeyError: 'x'\n", "loaded. [KeyError: 'x']")],
)
def test_a_failed_step_is_told_and_a_bug_with_its_last_line(session, traceback, shown):
    SessionStep.objects.create(
        session=session,
        key="analyse",
        kind=StepKind.ANALYSE,
        status=Status.FAILED,
        error="The model cannot be loaded.",
        traceback=traceback,
    )
    session.status, session.error = Status.FAILED, "The analysis failed."
    text = terminal.report(session)
    assert shown in text
    assert text.endswith("Failed: The analysis failed.")


def test_a_step_with_nothing_to_change_is_no_failure(session, client, owner):
    nothing = TechniqueNoEffect(technique="ONNX graph optimization", reason="no node can be merged")
    SessionStep.objects.create(
        session=session,
        key="onnx-graph/1",
        kind=StepKind.OPTIMIZE,
        status=Status.FAILED,
        error=str(nothing),
        error_code=nothing.code,
    )
    text = terminal.report(session, width=300)
    assert f"Steps with nothing to change:\n  onnx-graph/1: {nothing}" in text
    assert "Failed steps" not in text
    client.force_login(owner)
    page = client.get(session.get_absolute_url()).content.decode()
    assert '<span class="badge">Nothing to change</span>' in page


def test_candidates_on_other_examples_stand_below_the_original_on_those(session):
    """The same original scores otherwise on other examples: one line for both would compare unlike things."""
    candidate(session, "c01", "Static int8", CandidateStatus.SELECTED)
    ranked = candidate(session, "c02", "Dynamic int8", CandidateStatus.ACCEPTED).evaluation
    ranked.step.result |= {"part": "choosing", "examples": 300}
    ranked.step.result["metrics"][0]["original"]["value"] = 88.0
    ranked.step.save()

    _, _, *lines = terminal.report(session).split("\n\n")[0].splitlines()
    assert [line.split()[0] for line in lines] == ["on", "original", "c01", "on", "original", "c02"]
    assert lines[0] == "on 800 examples:"
    assert lines[3] == "on 300 validation examples:"
    assert lines[1].split()[1] == "90.00"
    assert lines[4].split()[1] == "88.00"
    assert lines[2].endswith("holds, selected")
    assert lines[5].endswith("not judged, accepted")


def test_what_the_choice_cost_follows_the_verdict(session):
    candidate(session, "c01", "Static int8", CandidateStatus.SELECTED)
    session.status, session.outcome = Status.COMPLETED, Outcome.IMPROVED
    choice = Choice(
        tried=2,
        choosing_examples=300,
        finalists=("c01",),
        judged=1,
        judging_examples=800,
        sharing=1,
        confidence=0.95,
        sentence="Two were tried, and the best was judged.",
    )
    session.verdict = {"outcome": "improved", "candidate": "c01", "reason": "It is.", "choice": choice.model_dump()}
    assert terminal.report(session).splitlines()[-2] == choice.sentence
