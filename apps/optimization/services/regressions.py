"""Whether a promotion makes a model worse: the promoted candidate beside the one that the alias pointed at before.

Both were measured in sessions of their own. They are compared only where that is fair: the metric on the same data set,
the speed on the same machine; and only if the intervals of both do not touch, so that chance explains no difference.
"""

from __future__ import annotations

from apps.accounts.models import User
from apps.agents.contracts.reports.evaluation import EvaluationReport as Evaluation
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.state import Verdict
from apps.audit import trail
from apps.models.models import ModelVersion
from apps.optimization.models import EvaluationReport, OptimizationSession


def tell_of_regression(
    session: OptimizationSession, before: ModelVersion | None, version: ModelVersion, alias: str, user: User
) -> bool:
    """Records that `version`, the result of `session`, is worse than `before`, if so. Returns whether it is."""
    if before is None or before.pk == version.pk or before.source_session is None:
        return False
    earlier = OptimizationSession.objects.filter(pk=before.source_session, team=session.team_id).first()
    then, now = _delivered(earlier) if earlier else None, _delivered(session)
    if earlier is None or then is None or now is None:
        return False
    worse = [
        *(_metric(then, now) if earlier.dataset_id == session.dataset_id else ()),
        *(_speed(then, now) if then.machine.cpu == now.machine.cpu else ()),
    ]
    if worse:
        reason = f"Compared with {before}, which {alias} pointed at before: {', '.join(worse)}."
        data = {"alias": alias, "version": version.number, "before": before.number}
        trail.record("session.regressed", actor=user, session=session, subject=str(version), reason=reason, data=data)
    return bool(worse)


def _delivered(session: OptimizationSession) -> Evaluation | None:
    """The evaluation of the candidate that the session delivered."""
    if session.verdict is None:
        return None
    key = Verdict.model_validate(session.verdict).candidate or ""
    row = EvaluationReport.objects.filter(candidate__session=session, candidate__key=key).select_related("step").first()
    return Evaluation.model_validate(row.body) if row else None


def _metric(then: Evaluation, now: Evaluation) -> list[str]:
    before, after = then.primary, now.primary
    if before.metric != after.metric:
        return []
    low, high = (before, after) if after.higher_is_better else (after, before)
    if not _apart(high.candidate, low.candidate):
        return []
    return [f"{after.label} {after.candidate.value:.4g} instead of {before.candidate.value:.4g} {after.unit}".rstrip()]


def _speed(then: Evaluation, now: Evaluation) -> list[str]:
    before, after = then.latency.candidate_p50_ms, now.latency.candidate_p50_ms
    if before is None or after is None or then.latency.busy or now.latency.busy or not _apart(before, after):
        return []
    return [f"{after.value:.3g} instead of {before.value:.3g} ms"]


def _apart(smaller: Estimate, larger: Estimate) -> bool:
    """Whether the whole interval of `smaller` lies below that of `larger`."""
    top = smaller.value if smaller.high is None else smaller.high
    bottom = larger.value if larger.low is None else larger.low
    return top < bottom
