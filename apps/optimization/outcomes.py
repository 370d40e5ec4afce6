"""Stores the result of a completed step in the rows for lists, plots and reports."""

from __future__ import annotations

from apps.agents.contracts.refinement import Refinement
from apps.agents.contracts.reports import analysis, evaluation, optimization, speed_matrix
from apps.agents.contracts.searching import PortionMade, SupernetMade
from apps.agents.contracts.state import Plan, StepKind
from apps.models.models import Blob
from apps.optimization import trials, watching, workers
from apps.optimization.models import AnalysisReport, EvaluationReport, KeptAnswers, SessionStep
from apps.optimization.regressions import tell_of_decay


def keep_report(step: SessionStep) -> None:
    """Validates the result of `step` for its kind and stores what lists look up. Raises `pydantic.ValidationError`.

    The body stays in the step; the rows of reports point there.
    """
    body = step.result
    match step.kind:
        case StepKind.ANALYSE:
            analysis.AnalysisReport.model_validate(body)
            # The analysis of an exported model stays in its step.
            if not step.parent_key:
                AnalysisReport.objects.update_or_create(session_id=step.session_id, defaults={"step": step})
        case StepKind.PLAN:
            Plan.model_validate(body)
        case StepKind.REFINE:
            Refinement.model_validate(body)
        case StepKind.SUPERNET:
            SupernetMade.model_validate(body)
        case StepKind.TRIALS:
            trials.keep(step, PortionMade.model_validate(body).trials)
        case StepKind.OPTIMIZE:
            optimization.OptimizationResult.model_validate(body)
        case StepKind.MATRIX:
            speed_matrix.SpeedMatrix.model_validate(body)
        case StepKind.EVALUATE:
            report = _keep_evaluation(step)
            if not step.taken_from:
                watching.look_at_timing(workers.note_timing(body))
                tell_of_decay(step.session, report)


def keep_answers(step: SessionStep, blob: Blob) -> None:
    """Stores what both models answered when `step` judged a candidate."""
    KeptAnswers.objects.update_or_create(step=step, defaults={"blob": blob})


def _keep_evaluation(step: SessionStep) -> evaluation.EvaluationReport:
    """Replaces the evaluation that ranked a finalist by the one that judged it. The former stays in its step."""
    report = evaluation.EvaluationReport.model_validate(step.result)
    candidate = step.session.candidates.get(key=step.candidate_key)
    EvaluationReport.objects.update_or_create(
        candidate=candidate,
        defaults={
            "step": step,
            "speedup": report.latency.speedup.value,
            "size_ratio": report.counted_bytes.ratio,
            "metric_drop": report.primary.drop.value,
            "candidate_p50_ms": report.latency.candidate.p50_ms,
            "candidate_metric": report.primary.candidate.value,
            "verdict": report.verdict,
        },
    )
    return report
