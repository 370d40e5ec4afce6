"""Advances a session: asks the manager for the next move, records its decisions, and sends the work.

The manager decides and this module records. A repeated call creates the same rows: steps, candidates and decisions have
keys that are unique in their session, and the session's row is locked meanwhile.
"""

from __future__ import annotations

import logging
import traceback
from uuid import UUID

from django.db import DatabaseError, transaction

from apps.agents.contracts.chain import MODEL
from apps.agents.contracts.state import (
    ACTIVE,
    AgentDecision,
    CandidateRecord,
    Decision,
    Status,
    StepKind,
    StepRequest,
    Verdict,
)
from apps.agents.session.manager import OptimizationManager
from apps.audit import trail
from apps.audit.models import AuditEvent
from apps.ids import bound_ids
from apps.optimization import collecting, events, matrices, memory, messages, taking_over
from apps.optimization.errors.running import SessionErrored
from apps.optimization.models import Candidate, OptimizationSession, SessionStep
from apps.optimization.snapshot import session_state

logger = logging.getLogger(__name__)


class NothingToDo(RuntimeError):
    """The manager neither requested work nor ended the session, and nothing is running, so it would wait forever."""


@transaction.atomic
def advance(session_id: UUID | str) -> None:
    """Advances the session by one move. Has no effect if it has ended or was deleted."""
    try:
        session = OptimizationSession.objects.locked(session_id)
    except OptimizationSession.DoesNotExist:
        return
    if not session.is_active:
        return
    with bound_ids(team=session.team_id, session=session.pk):
        _advance(session)


def _advance(session: OptimizationSession) -> None:
    if session.cancel_requested_at:
        _finish_cancelling(session)
        return
    if session.status == Status.QUEUED:
        session.begin()
    if (measuring := matrices.asked_last(session)) is not None:
        matrices.follow(session, measuring)
        events.poke(session)
        return
    try:
        state = session_state(session)
        decision = OptimizationManager().next(state)
        with transaction.atomic():
            _carry_out(session, decision)
    except DatabaseError:
        raise  # the message is delivered again, or the sweeper sends one
    except Exception:
        logger.exception("Session %s cannot continue.", session.pk)
        _break_off(session, traceback.format_exc())
    events.poke(session)


def _carry_out(session: OptimizationSession, decision: Decision) -> None:
    """Records one decision and sends its work."""
    _keep_plan(session)
    _keep_candidates(session, decision.candidates)
    requested = keep_steps(session, decision.requests)
    new_steps = [step for step in requested if not taking_over.take_over(step)]
    taken_over = len(new_steps) < len(requested)
    new_steps += [again for step in new_steps for again in collecting.make_inputs_again(step)]
    collecting.let_go(session, decision.unneeded)
    _tell(session, decision.events)
    if decision.verdict is not None:
        _complete(session, decision.verdict)
    elif decision.failure is not None:
        _fail(session, *decision.failure)
        memory.remember_safely(session)
    else:
        if not taken_over and not session.steps.filter(status__in=ACTIVE).exists():
            raise NothingToDo(f"decision without work: {decision!r}")
        session.proceed(phase=decision.phase, progress=decision.progress, forecast=decision.forecast)
        for step in new_steps:
            messages.send_step(step)
        if taken_over:
            messages.send_advance(session.pk)


def _keep_plan(session: OptimizationSession) -> None:
    """Stores the plan on the session as soon as its step is done."""
    planned = session.steps.filter(kind=StepKind.PLAN, status=Status.COMPLETED).order_by("-pk").first()
    if planned is not None and session.plan != planned.result:
        session.plan = planned.result
        session.save(update_fields=["plan"])


def _keep_candidates(session: OptimizationSession, records: tuple[CandidateRecord, ...]) -> None:
    known = {candidate.key: candidate for candidate in session.candidates.all()}
    for record in records:
        fields = {
            "title": record.title[:200],
            "technique": record.technique,
            "steps": record.model_dump(mode="json")["steps"],
            "parent_key": record.parent or "",
            "predicted": record.predicted.model_dump(mode="json"),
            "status": record.status,
            "reason": record.reason,
            "score": record.score,
        }
        candidate = known.get(record.key)
        if candidate is None:
            Candidate.objects.create(session=session, key=record.key, **fields)
        elif changed := [name for name, value in fields.items() if getattr(candidate, name) != value]:
            for name in changed:
                setattr(candidate, name, fields[name])
            candidate.save(update_fields=changed)
    session.keep_gains()


def keep_steps(session: OptimizationSession, requests: tuple[StepRequest, ...]) -> list[SessionStep]:
    """The rows that did not exist yet."""
    known = set(session.steps.values_list("key", flat=True))
    return [
        SessionStep.objects.create(
            session=session,
            key=request.key,
            kind=request.kind,
            queue=request.queue,
            candidate_key=request.candidate or "",
            technique=request.technique or "",
            parameters=request.model_dump(mode="json")["parameters"],
            parent_key=request.parent or "",
            further_parents={role: key for role, key in request.parents.items() if role != MODEL},
            reason=request.reason,
        )
        for request in requests
        if request.key not in known
    ]


def _tell(session: OptimizationSession, decisions: tuple[AgentDecision, ...]) -> None:
    """Records each decision of an agent once, as an audit event and a log line."""
    recorded = set(AuditEvent.objects.filter(session_id=session.pk).exclude(key="").values_list("key", flat=True))
    for decision in decisions:
        if decision.key in recorded:
            continue
        trail.record(
            decision.action,
            actor=decision.agent,
            session=session,
            subject=decision.subject or "",
            reason=decision.reason,
            key=decision.key,
        )
        session.log.create(message=f"{decision.agent}: {decision.reason}")


def _complete(session: OptimizationSession, verdict: Verdict) -> None:
    packaged = session.steps.filter(kind=StepKind.PACKAGE, status=Status.COMPLETED).order_by("-pk").first()
    _drop_queued(session)
    session.complete(verdict, packaged.artifact if packaged else None)
    memory.remember_safely(session)
    session.log.create(message=f"The session {session.time_summary}.")
    trail.record(
        "session.completed",
        session=session,
        subject=verdict.candidate or "",
        reason=verdict.reason,
        data={
            "outcome": verdict.outcome,
            "worked_s": round(session.worked_s, 1),
            "waited_s": round(session.waited_s(), 1),
        },
    )


def _fail(session: OptimizationSession, code: str, sentence: str, trace: str = "") -> None:
    _drop_queued(session)
    session.fail(code, sentence, trace)
    session.log.create(level="error", message=sentence)
    trail.record("session.failed", session=session, reason=sentence, data={"code": code})


def _break_off(session: OptimizationSession, trace: str) -> None:
    """Ends the session after a bug in Lathe. The member gets a message, the operators the traceback."""
    session.refresh_from_db()
    errored = SessionErrored()
    _fail(session, errored.code, errored.message, trace)


def _drop_queued(session: OptimizationSession) -> None:
    """Cancels queued steps at the session's end. Running ones notice the end and stop."""
    for step in session.steps.filter(status=Status.QUEUED):
        step.cancel()


def _finish_cancelling(session: OptimizationSession) -> None:
    """Cancels the session once none of its steps runs. The last step to stop calls this again."""
    _drop_queued(session)
    if session.steps.filter(status=Status.RUNNING).exists():
        return
    if (measuring := matrices.asked_last(session)) is not None:
        matrices.follow(session, measuring)
        events.poke(session)
        return
    if session.verdict is None:
        session.cancel()
        memory.remember_safely(session)
        message = "The session was cancelled, and none of its steps is running."
    else:
        _carry_out_records(session)
        session.settle()
        message = "The request for another candidate was cancelled. What was delivered before stands."
    session.log.create(message=message)
    trail.record("session.cancelled", session=session, reason="Every step has stopped.")
    events.poke(session)


def _carry_out_records(session: OptimizationSession) -> None:
    """Writes down what the manager says of candidates and requests, without starting anything."""
    decision = OptimizationManager().next(session_state(session))
    _keep_candidates(session, decision.candidates)
    _tell(session, decision.events)
