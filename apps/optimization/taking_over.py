"""Takes the result of a step from an earlier session that did the same work, so that it is not done again.

A session that continues another takes over what that one made and measured. Any other session takes over only
artifacts of repeatable techniques, from any session of its own team, unless it or the operators do not want that. Both
happen when the step is requested. Of sessions that want the same at the same time, one makes it, and the others take it
when their turn comes (`claim`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from apps.agents.analysis.opportunities import opportunities
from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.reports.analysis import AnalysisReport
from apps.agents.contracts.reports.evaluation import EvaluationReport, Part
from apps.agents.contracts.state import ACTIVE, Status, StepKind
from apps.agents.contracts.values import Value
from apps.agents.evaluation.rederiving import rederived, why_not
from apps.agents.techniques.catalogue import catalogue
from apps.agents.techniques.repeatable import is_repeatable
from apps.audit import trail
from apps.models.models import Blob
from apps.models.storage import is_stored
from apps.optimization import outcomes, workers
from apps.optimization.identity import identity_of
from apps.optimization.models import OptimizationSession, PipelineSettings, SessionStep, Worker

MOST_LOOKED_AT = 20
"""So many steps of other sessions that did the same are looked at, the newest first."""


class TakenOver(Value):
    """Where the result of a step comes from. It stays readable when that session is deleted."""

    session: str
    """The id of the session that did the work."""
    step: str
    """The key of its step there."""
    duration_s: float | None
    """How long it took there."""
    continued: bool
    """Whether its own session continues that one."""


class Claim(StrEnum):
    """What became of a worker's wish to carry out a step."""

    OURS = "ours"
    TAKEN = "taken"
    """The step is complete: another session made the same since it was requested."""
    THEIRS = "theirs"
    """Another session is making the same."""
    GONE = "gone"
    """It is not waiting any more, or not yet."""


def take_over(step: SessionStep, *, with_file: bool = False) -> bool:
    """Completes `step`, which nobody has begun, from a step that did the same work. The session is locked.

    False if there is none, so that it has to be carried out; `with_file`: if there is none whose file is kept.
    """
    step.identity = identity_of(step)
    if not step.identity:
        return False
    step.save(update_fields=["identity"])
    living = workers.working_on(step.queue, workers.alive())
    for source in _sources(step):
        if holds(source, step.session.criteria, living):
            kept = _kept(source.artifact)
            if kept is not None or not with_file:
                _adopt(step, source, kept)
                return True
    return False


def claim(step: SessionStep, worker: str, lease: timedelta) -> Claim:
    """Takes a step for a worker, unless its result is in the store meanwhile, or is being made in another session.

    All sessions that wait for the same are locked together, in the order of their keys, so that only one of them goes
    on.
    """
    if not step.identity or not _may_reuse(step):
        return Claim.OURS if step.take(worker, lease) else Claim.GONE
    with transaction.atomic():
        twins = _of_team(SessionStep.objects.filter(identity=step.identity, status__in=ACTIVE), step.session)
        sessions = {step.session_id, *twins.values_list("session_id", flat=True)}
        list(OptimizationSession.objects.select_for_update(no_key=True).filter(pk__in=sorted(sessions)).order_by("pk"))
        if not SessionStep.objects.filter(pk=step.pk, status=Status.QUEUED).exists():
            return Claim.GONE
        if take_over(step, with_file=True):
            return Claim.TAKEN
        running = twins.filter(status=Status.RUNNING, lease_expires_at__gt=Now()).exclude(session=step.session_id)
        if running.exists():
            return Claim.THEIRS
        return Claim.OURS if step.take(worker, lease) else Claim.GONE


# --- which steps did the same work ------------------------------------------------------------------------------------


def _sources(step: SessionStep) -> Iterator[SessionStep]:
    """The steps that did the same work and may be used: first those whose file is kept.

    A result without its file is good enough as long as nothing reads the file. It is made again where something does
    (`collecting.make_inputs_again`).
    """
    session = step.session
    same = SessionStep.objects.filter(identity=step.identity).exclude(session=session)
    same = same.select_related("session", "artifact").order_by("-pk")
    continued = same.filter(_FOUND_OUT, session_id=session.continues_id) if session.continues_id else same.none()
    reusable = same.filter(status=Status.COMPLETED) if _may_reuse(step) else same.none()
    with_file = Q(artifact__isnull=False, artifact__damaged_at=None)
    yield from continued.filter(with_file)
    yield from _of_team(reusable.filter(with_file), session)[:MOST_LOOKED_AT]
    yield from continued.exclude(with_file)
    yield from _of_team(reusable.exclude(with_file), session)[:1]


_FOUND_OUT = Q(status=Status.COMPLETED) | Q(
    status=Status.FAILED, kind=StepKind.OPTIMIZE, fault="", traceback="", error_code__startswith="technique."
)
"""Completed, or failed because the technique cannot do it: that is a result as well."""


def _of_team(steps: QuerySet[SessionStep], session: OptimizationSession) -> QuerySet[SessionStep]:
    """Never another team's: not even the time that it takes may show what others do."""
    return steps.filter(session__team_id=session.team_id)


def _may_reuse(step: SessionStep) -> bool:
    if step.kind != StepKind.OPTIMIZE or step.session.make_anew or step.technique not in catalogue():
        return False
    return PipelineSettings.current().reuse_artifacts and is_repeatable(catalogue()[step.technique], step.parameters)


def holds(source: SessionStep, criteria: Criteria, living: Iterable[Worker]) -> bool:
    """Whether what `source` found still holds: for the workers that are there, and under `criteria`."""
    return _runs_alike(source, living) and (source.kind != StepKind.EVALUATE or _answers(source, criteria))


def _answers(source: SessionStep, criteria: Criteria) -> bool:
    """Whether a measurement on the validation part answers `criteria`. Judgements on the test part are always new."""
    if source.parameters.get("part") != Part.CHOOSING:
        return False
    report = EvaluationReport.model_validate(source.result)
    return why_not(report, source.session.criteria, criteria) is None


def _runs_alike(source: SessionStep, living: Iterable[Worker]) -> bool:
    """Whether a living worker has the library versions and, for a measurement, the processor that `source` used."""
    machine = _machine_of(source)
    libraries: Mapping[str, str] = machine.get("libraries", {})
    return any(
        all(worker.libraries.get(name) == version for name, version in libraries.items())
        and machine.get("cpu", worker.machine.get("cpu")) == worker.machine.get("cpu")
        for worker in living
        if libraries
    )


def _machine_of(source: SessionStep) -> Mapping[str, Any]:
    """The libraries that decided the result and, if it was measured, the processor."""
    if source.kind != StepKind.OPTIMIZE:
        measured: Mapping[str, Any] = source.result.get("machine", {})
        return measured
    if source.status == Status.COMPLETED:
        return {"libraries": source.result.get("libraries", {})}
    analysis = getattr(source.session, "analysis", None)
    return {"libraries": analysis.body["machine"]["libraries"]} if analysis else {}


# --- taking over ------------------------------------------------------------------------------------------------------


def _adopt(step: SessionStep, source: SessionStep, kept: Blob | None) -> None:
    """Ends `step` as `source` ended, with the file that is `kept` of it."""
    continued = source.session_id == step.session.continues_id
    _copy(step, source, kept, continued)
    if step.status == Status.COMPLETED:
        outcomes.keep_report(step)
    _tell(step, source, continued)


def _kept(artifact: Blob | None) -> Blob | None:
    """The blob, locked, if its bytes are in the store: they stay until the row that refers to it is written."""
    if artifact is None:
        return None
    locked = Blob.objects.select_for_update().filter(pk=artifact.pk, damaged_at=None).first()
    return locked if locked is not None and is_stored(locked) else None


def _copy(step: SessionStep, source: SessionStep, kept: Blob | None, continued: bool) -> None:
    earlier = source.taken_from.get("duration_s") if source.taken_from else source.duration_s
    origin = TakenOver(session=str(source.session_id), step=source.key, duration_s=earlier, continued=continued)
    lost = kept is None and source.status == Status.COMPLETED and bool(source.artifact_filename)
    changes: dict[str, Any] = {
        "status": source.status,
        "result": _decided_anew(source, step.session),
        "artifact": kept,
        "artifact_filename": source.artifact_filename,
        "collected_at": Now() if lost else None,
        "batch_divisor": source.batch_divisor,
        "curves": source.curves,
        "error_code": source.error_code,
        "error": source.error,
        "progress": 1.0,
        "taken_from": origin.model_dump(mode="json"),
        "finished_at": Now(),
    }
    SessionStep.objects.filter(pk=step.pk).update(**changes)
    step.refresh_from_db()


def _decided_anew(source: SessionStep, session: OptimizationSession) -> dict[str, Any]:
    """The result of `source` with what depends on the criteria derived from the measurements again."""
    match source.kind:
        case StepKind.EVALUATE:
            measured = EvaluationReport.model_validate(source.result)
            return rederived(measured, session.criteria).model_dump(mode="json")
        case StepKind.ANALYSE:
            found = AnalysisReport.model_validate(source.result)
            return found.model_copy(update={"opportunities": opportunities(found, session.criteria)}).model_dump(
                mode="json"
            )
    result: dict[str, Any] = source.result
    return result


def _tell(step: SessionStep, source: SessionStep, continued: bool) -> None:
    """Records it in the audit trail and in the session's log."""
    session = step.session
    why = "which this session continues" if continued else "which made the same from the same input"
    reason = f"Taken over from the step {source.key} of the session {source.session_id}, {why}."
    data = {"session": str(source.session_id), "step": source.key}
    key = f"taken-over/{step.key}"
    trail.record("step.taken_over", session=session, subject=step.key, reason=reason, data=data, key=key)
    session.log.create(step_key=step.key, message=reason)
