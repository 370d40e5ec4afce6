"""Services that cancel, resume and retry a session."""

from __future__ import annotations

from django.db import transaction

from apps.accounts.models import Role, User
from apps.accounts.services import require_role
from apps.agents.contracts.faults import Fault
from apps.agents.contracts.state import TERMINAL, Status, StepKind
from apps.agents.session.steps import ANALYSE, PACKAGE, PACKAGE_UNTRIED, PLAN
from apps.audit import trail
from apps.optimization import collecting, events, messages
from apps.optimization.errors.lifecycle import SessionMoveRefused
from apps.optimization.models import OptimizationSession, SessionStep
from apps.optimization.services.comparing import session_compare
from apps.optimization.services.start import session_start
from apps.outages import require_queue

NEEDED = (ANALYSE, PLAN, PACKAGE)
"""Steps whose failure ends a session. Any other failed step only rejects its candidate, which is final unless the step
was
not at fault."""


@transaction.atomic
def session_cancel(session: OptimizationSession, user: User, *, as_operator: bool = False) -> OptimizationSession:
    """Stops a session: no further step starts, and running ones are killed within moments.

    Raises `PermissionDenied`, and `SessionMoveRefused` if it has already ended.
    """
    _require(user, session, as_operator)
    row = OptimizationSession.objects.locked(session.pk)
    row.request_cancel()
    for step in row.steps.filter(status=Status.QUEUED):
        step.cancel()
    trail.record("session.cancel_requested", actor=user, session=row)
    messages.send_advance(row.pk)
    events.poke(row)
    return row


def session_retry(session: OptimizationSession, user: User, *, as_operator: bool = False) -> OptimizationSession:
    """Starts the same request as a new session: same version, data, criteria, edits of the plan and seed,
    nothing reused.

    Raises `PermissionDenied`, `SessionMoveRefused` while the session runs, and the errors of `session_start`.
    """
    _require(user, session, as_operator)
    if session.status not in TERMINAL:
        raise SessionMoveRefused(move="be retried", status=session.status)
    if session.compared is not None:
        return session_compare(
            user=user,
            version=session.version,
            compared=session.compared,
            dataset=session.dataset,
            criteria_set=session.criteria_set,
            criteria=session.criteria_body,
            seed=session.seed,
            retry_of=session,
            as_operator=as_operator,
        )
    return session_start(
        user=user,
        version=session.version,
        student=session.student,
        dataset=session.dataset,
        criteria_set=session.criteria_set,
        criteria=session.criteria_body,
        edits=session.edits_body,
        seed=session.seed,
        retry_of=session,
        make_anew=True,
        start_anyway=True,
        as_operator=as_operator,
    )


@transaction.atomic
def session_resume(session: OptimizationSession, user: User, *, as_operator: bool = False) -> OptimizationSession:
    """Resumes a failed or cancelled session: completed steps stay, interrupted ones are repeated.

    Steps are also repeated if their artifact is missing from the store or was removed by the team's retention.

    Raises `PermissionDenied`, `SessionMoveRefused`, `QueueAway`.
    """
    _require(user, session, as_operator)
    row = OptimizationSession.objects.locked(session.pk)
    row.resume()
    require_queue()
    # Files that the team's retention removed are made again; what the session itself let go only where it is read.
    lost = row.steps.filter(status=Status.COMPLETED, artifact=None, collected_at=None).exclude(artifact_filename="")
    lost.update(status=Status.CANCELLED)
    # The package is retried first. If that fails again, the untried one is requested again.
    row.steps.filter(key=PACKAGE_UNTRIED).exclude(status=Status.COMPLETED).delete()
    planned = row.steps.filter(kind=StepKind.PLAN, status=Status.COMPLETED).exists()
    for step in row.steps.filter(status__in=(Status.FAILED, Status.CANCELLED)):
        if row.compared_id is not None or _interrupted(step, planned):
            _start_over(step)
    for step in row.steps.filter(status=Status.COMPLETED, artifact__damaged_at__isnull=False):
        _start_over(step)
    trail.record("session.resumed", actor=user, session=row)
    messages.send_advance(row.pk)
    events.poke(row)
    return row


def _start_over(step: SessionStep) -> None:
    if step.start_over():
        step.refresh_from_db()
        for one in (*collecting.make_inputs_again(step), step):
            messages.send_step(one)


def _interrupted(step: SessionStep, planned: bool) -> bool:
    """Whether to repeat `step`. Steps that the plan already had to do without are not repeated."""
    if step.status == Status.CANCELLED or step.key in NEEDED or step.fault in (Fault.INFRASTRUCTURE, Fault.ORIGINAL):
        return True
    return step.fault == Fault.MEMORY and (not planned or bool(step.candidate_key))


def _require(user: User, session: OptimizationSession, as_operator: bool) -> None:
    """Members need the role engineer. Operators, who use the admin, need no role in the team."""
    if not (as_operator and user.is_staff):
        require_role(user, session.team, Role.ENGINEER)
