"""Continues a finished session with other criteria: what it made and measured is taken over, the rest is decided anew.

The continued session stays as it is, with its report, its package and its promotions. The new one has a row of its own,
so every report says under which criteria it was decided, and an audit trail never changes its meaning afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.db import transaction

from apps.accounts.models import Role, User
from apps.accounts.services import require_role
from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.loss_limits import for_task
from apps.agents.contracts.reports.evaluation import Part
from apps.agents.contracts.state import CandidateRecord, Earlier, Status, StepKind
from apps.agents.session.steps import ANALYSE
from apps.audit import trail
from apps.models.models import DataSet, ModelVersion
from apps.optimization import taking_over, workers
from apps.optimization.default_criteria import precedence
from apps.optimization.errors.continuing import (
    ContinuedElsewhere,
    ContinuedOtherwise,
    ContinuedUnchanged,
    NothingToContinue,
    SessionTooOld,
)
from apps.optimization.errors.lifecycle import SessionMoveRefused
from apps.optimization.lineage import Lineage
from apps.optimization.models import Candidate, CriteriaSet, OptimizationSession
from apps.optimization.services.conflicts import CriteriaCheck, checked_with_rows
from apps.optimization.services.start import Continuation, session_start, wanted_criteria


@transaction.atomic
def session_continue(
    session: OptimizationSession,
    user: User,
    *,
    criteria_set: CriteriaSet | None = None,
    criteria: Criteria | Mapping[str, Any] | None = None,
    overrides: Mapping[str, Any] | None = None,
    resolutions: Sequence[str] = (),
    version: ModelVersion | int | None = None,
    dataset: DataSet | int | None = None,
    as_operator: bool = False,
) -> OptimizationSession:
    """Starts a session that continues a finished one with other criteria: `criteria_set`, `criteria`, or the ones of
    `session`, with `overrides` and then the `resolutions` of conflicts applied (their ids). Model, data set, student,
    seed, target, edits of the plan, and whether everything is made anew stay.

    The budget is that of both together. Raises `PermissionDenied`, `SessionMoveRefused` while `session` runs,
    `ContinuedOtherwise` for another `version` or `dataset`, `ContinuedElsewhere` for another target,
    `ContinuedUnchanged`, `NothingToContinue`, `SessionTooOld`, and the errors of `session_start`.
    """
    if not (as_operator and user.is_staff):
        require_role(user, session.team, Role.ENGINEER)
    row = OptimizationSession.objects.locked(session.pk)
    check_continuable(row)
    _check_same("version", "model", row.version, version)
    _check_same("dataset", "data set", row.dataset, dataset)
    given = row.criteria_body if criteria is None and criteria_set is None else criteria
    spec = DatasetSpec.model_validate(row.dataset.spec)
    wanted = for_task(wanted_criteria(criteria_set, given, overrides), spec)
    named = criteria_set if not overrides else None
    settled = continuation_checked(row, user, wanted, resolutions, named).criteria if resolutions else wanted
    _check_criteria(row, settled)
    made = session_start(
        user=user,
        version=row.version,
        student=row.student,
        dataset=row.dataset,
        criteria_set=named,
        criteria=wanted,
        resolutions=resolutions,
        seed=row.seed,
        edits=row.edits,
        continuation=Continuation(row, earlier_of(row, settled)),
        make_anew=row.make_anew,
        start_anyway=True,
        as_operator=as_operator,
    )
    reason = f"Continued by the session {made.pk} with other criteria."
    trail.record("session.continued", actor=user, session=row, subject=str(made.pk), reason=reason)
    return made


def continuation_checked(
    session: OptimizationSession,
    user: User,
    criteria: Criteria,
    resolutions: Sequence[str] = (),
    criteria_set: CriteriaSet | None = None,
) -> CriteriaCheck:
    """The conflicts of `criteria` in a session that continues `session`, once these resolutions are applied.

    Raises `VersionNotReady`, `DataSetNotReady`, `UnknownResolution`.
    """
    spec, rows = DatasetSpec.model_validate(session.dataset.spec), (session.version, session.dataset, session.student)
    overrules = precedence(criteria_set, user, session.team)
    check = checked_with_rows(for_task(criteria, spec), *rows, resolutions, overrules)
    return check.model_copy(update={"criteria": for_task(check.criteria, spec)})


def _check_same(
    field: str, what: str, known: ModelVersion | DataSet, given: ModelVersion | DataSet | int | None
) -> None:
    asked = given if isinstance(given, int) or given is None else given.pk
    if asked is not None and asked != known.pk:
        raise ContinuedOtherwise(field=field, what=what, given=asked, known=known, wanted=known.pk)


def _check_criteria(session: OptimizationSession, wanted: Criteria) -> None:
    if wanted.target != session.criteria.target:
        raise ContinuedElsewhere(field="target")
    if wanted == session.criteria:
        raise ContinuedUnchanged(field="criteria")


def check_continuable(session: OptimizationSession) -> None:
    """Requires that the session has ended and knows what its steps depended on.

    Raises `SessionMoveRefused`, `NothingToContinue`, `SessionTooOld`.
    """
    if session.is_active:
        raise SessionMoveRefused(move="be continued", status=session.status)
    analysed = session.steps.filter(key=ANALYSE, status=Status.COMPLETED).first()
    if analysed is None or session.compared_id is not None:
        raise NothingToContinue()
    if not analysed.identity:
        raise SessionTooOld()


# --- what it leaves ---------------------------------------------------------------------------------------------------


def earlier_of(session: OptimizationSession, wanted: Criteria) -> Earlier:
    """What a session that continues `session` under `wanted` takes over."""
    living, lineage = workers.alive(), Lineage(session)
    steps = [one for one in session.steps.exclude(identity="") if taking_over.holds(one, wanted, living)]
    completed = [one for one in steps if one.status == Status.COMPLETED]
    measured = {one.candidate_key for one in completed if one.kind == StepKind.EVALUATE}
    before = Earlier.model_validate(session.earlier) if session.earlier else None
    return Earlier(
        session=str(session.pk),
        worked_s=session.own_time_s() + (before.worked_s if before else 0.0),
        judged=_judged(session) + (before.judged if before else 0),
        made=tuple(lineage.chain_key(one.key) for one in completed if one.kind == StepKind.OPTIMIZE),
        measured=tuple(_records(session, measured)),
        steps=len(completed),
    )


def _judged(session: OptimizationSession) -> int:
    """How many of its candidates were judged on the test part."""
    done = session.steps.filter(kind=StepKind.EVALUATE, status=Status.COMPLETED)
    return sum(one.parameters.get("part", Part.EVALUATION) == Part.EVALUATION for one in done)


def _records(session: OptimizationSession, keys: set[str]) -> Iterator[CandidateRecord]:
    """The measured candidates as they were planned, each with the links that were applied."""
    planned = {one["key"]: one["reason"] for one in (session.plan or {}).get("candidates", ())}
    makers = session.steps.filter(kind=StepKind.OPTIMIZE).exclude(candidate_key="")
    own = {one.candidate_key: one.reason for one in makers}
    for row in session.candidates.filter(key__in=keys).order_by("pk"):
        yield _record(row, planned.get(row.key) or own.get(row.key) or row.reason)


def _record(row: Candidate, reason: str) -> CandidateRecord:
    return CandidateRecord.model_validate(
        {"key": row.key, "steps": row.steps, "predicted": row.predicted, "reason": reason}
    )
