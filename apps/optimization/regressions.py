"""Whether a promoted version is worse: than the one that its alias pointed at before, or than when it was promoted.

Measurements of different sessions are compared only where that is fair: the metric on the same data set, the speed on
the same processor with the same batch size and threads; and only if the intervals of both do not touch, so that chance
explains no difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple
from uuid import UUID

from django.db import IntegrityError, transaction

from apps.accounts.models import User
from apps.agents.contracts.phrasing import listed
from apps.agents.contracts.reports.evaluation import EvaluationReport as Evaluation
from apps.agents.contracts.reports.evaluation import Part
from apps.agents.contracts.reports.measurements import Estimate, Latency
from apps.agents.contracts.reports.metrics import MetricComparison
from apps.agents.contracts.state import Verdict
from apps.audit import trail
from apps.audit.models import AuditEvent
from apps.models.models import ModelVersion
from apps.optimization.lineage import makers
from apps.optimization.models import EvaluationReport, OptimizationSession

FEWEST_ROUNDS = 6
"""Fewer rounds of timing say too little about how far apart the rounds of the same model lie."""


class _Measured(NamedTuple):
    """One model as a session measured it."""

    metric: MetricComparison
    value: Estimate
    """Of the metric."""
    timed: Latency
    p50_ms: Estimate | None
    """`None` if that is not known."""
    processor: str


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
    worse = _worse(_candidate_of(then), _candidate_of(now), same_data=earlier.dataset_id == session.dataset_id)
    if worse:
        reason = f"Compared with {before}, which {alias} pointed at before: {', '.join(worse)}."
        data = {"alias": alias, "version": version.number, "before": before.number}
        trail.record("session.regressed", actor=user, session=session, subject=str(version), reason=reason, data=data)
    return bool(worse)


def tell_of_decay(session: OptimizationSession, evaluation: Evaluation) -> int:
    """Records each version behind an alias that `evaluation`, a judgement of `session`, finds worse than the session
    that made it did. Returns how many.

    The version is the session's original, or the compared one of a comparison. Each is reported once in a session.
    """
    if evaluation.part is not Part.EVALUATION:
        return 0
    now = {session.version: _original_of(evaluation)}
    if session.compared is not None:
        now[session.compared] = _candidate_of(evaluation)
    return sum(_decayed(session, version, measured) for version, measured in now.items())


def _decayed(session: OptimizationSession, version: ModelVersion, now: _Measured) -> bool:
    aliases = [alias.name for alias in version.aliases.order_by("name")]
    earlier = _made_by(version, version.source_session) if aliases and version.source_session else None
    then = _delivered(earlier) if earlier else None
    key = f"decayed/{version.pk}"
    if earlier is None or then is None or AuditEvent.objects.filter(session=session, key=key).exists():
        return False
    worse = _worse(_candidate_of(then), now, same_data=earlier.dataset_id == session.dataset_id)
    if not worse:
        return False
    behind = f"the alias {aliases[0]}" if len(aliases) == 1 else f"the aliases {listed(aliases)}"
    reason = f"It is behind {behind}. Compared with the session that made it: {', '.join(worse)}."
    data = {"version": version.number, "aliases": aliases, "made_by": str(earlier.pk)}
    with suppress(IntegrityError), transaction.atomic():  # another worker was faster
        trail.record("model.decayed", session=session, subject=str(version), reason=reason, data=data, key=key)
        return True
    return False


def _made_by(version: ModelVersion, source: UUID) -> OptimizationSession | None:
    """The session `source` if it delivers this version's file; `None` if it delivers another one by now."""
    team = version.model.team_id
    session = OptimizationSession.objects.filter(pk=source, team=team, verdict__isnull=False).first()
    if session is None:
        return None
    step = makers(session).get(Verdict.model_validate(session.verdict).candidate or "")
    return session if step is not None and step.artifact_id == version.blob_id else None


def _delivered(session: OptimizationSession) -> Evaluation | None:
    """The evaluation of the candidate that the session delivered."""
    if session.verdict is None:
        return None
    key = Verdict.model_validate(session.verdict).candidate or ""
    row = EvaluationReport.objects.filter(candidate__session=session, candidate__key=key).select_related("step").first()
    return Evaluation.model_validate(row.body) if row else None


# --- one model beside itself or another -------------------------------------------------------------------------------


def _candidate_of(report: Evaluation) -> _Measured:
    latency = report.latency
    p50_ms = None if latency.busy else latency.candidate_p50_ms
    return _Measured(report.primary, report.primary.candidate, latency.candidate, p50_ms, report.machine.cpu)


def _original_of(report: Evaluation) -> _Measured:
    """Reports have no interval of the original's time. The range of its rounds is wider than that would be."""
    latency, rounds = report.latency, report.latency.original_blocks_ms
    known = not latency.busy and len(rounds) >= FEWEST_ROUNDS
    p50_ms = Estimate(value=latency.original.p50_ms, low=min(rounds), high=max(rounds)) if known else None
    return _Measured(report.primary, report.primary.original, latency.original, p50_ms, report.machine.cpu)


def _worse(then: _Measured, now: _Measured, *, same_data: bool) -> list[str]:
    """What is worse now, in words; empty if nothing is, or nothing can be compared."""
    return [*(_metric(then, now) if same_data else ()), *_speed(then, now)]


def _metric(then: _Measured, now: _Measured) -> Iterator[str]:
    metric = now.metric
    low, high = (then, now) if metric.higher_is_better else (now, then)
    if then.metric.metric == metric.metric and _apart(high.value, low.value):
        yield f"{metric.label} {now.value.value:.4g} instead of {then.value.value:.4g} {metric.unit}".rstrip()


def _speed(then: _Measured, now: _Measured) -> Iterator[str]:
    same = then.processor == now.processor
    same = same and (then.timed.batch_size, then.timed.threads) == (now.timed.batch_size, now.timed.threads)
    if same and then.p50_ms and now.p50_ms and _apart(then.p50_ms, now.p50_ms):
        yield f"{now.p50_ms.value:.3g} instead of {then.p50_ms.value:.3g} ms"


def _apart(smaller: Estimate, larger: Estimate) -> bool:
    """Whether the whole interval of `smaller` lies below that of `larger`."""
    top = smaller.value if smaller.high is None else smaller.high
    bottom = larger.value if larger.low is None else larger.low
    return top < bottom
