"""A member asks a completed session for speed by batch size and threads."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from pydantic import ValidationError

from apps.accounts.models import Role, User
from apps.accounts.services import require_role
from apps.agents.contracts.chain import COMPARED
from apps.agents.contracts.phrasing import listed
from apps.agents.contracts.reports.speed_matrix import SpeedGrid, SpeedMatrix
from apps.agents.contracts.state import ACTIVE, Status, StepKind, StepRequest, Verdict
from apps.agents.contracts.values import Value
from apps.agents.session.preparation import measuring_queue
from apps.agents.session.steps import starting_from
from apps.audit import trail
from apps.optimization import collecting, events, messages, pipeline
from apps.optimization.errors.lifecycle import SessionMoveRefused
from apps.optimization.errors.matrices import SpeedGridInvalid, SpeedNotMeasurable
from apps.optimization.errors.results import CandidateUnknown
from apps.optimization.lineage import makers
from apps.optimization.models import OptimizationSession, SessionStep
from apps.outages import require_queue

MOVE = "measure speed"


class MatrixOutcome(Value):
    """A member's request to measure speed, and how it ended."""

    number: int
    """1 for the first request of a session."""
    by: str
    candidate: str | None
    """The key of the candidate beside the original; `None` if the original was measured alone."""
    grid: SpeedGrid
    status: Status
    progress: float
    message: str
    """What is being measured; why it failed at the end."""
    asked_at: datetime
    matrix: SpeedMatrix | None
    """`None` until it is measured."""

    @property
    def is_open(self) -> bool:
        return self.status in ACTIVE


class SessionSpeed(Value):
    """What members had measured by batch size and threads."""

    measurements: tuple[MatrixOutcome, ...]
    """The latest first."""


def matrices_of(session: OptimizationSession) -> tuple[MatrixOutcome, ...]:
    """Every request of the session, the latest first."""
    steps = session.steps.filter(kind=StepKind.MATRIX).order_by("-pk")
    return tuple(_outcome(step) for step in steps)


def _outcome(step: SessionStep) -> MatrixOutcome:
    done = step.status == Status.COMPLETED
    return MatrixOutcome(
        number=int(step.key.rpartition("-")[2]),
        by=step.parameters["by"],
        candidate=step.candidate_key or None,
        grid=SpeedGrid.model_validate(step.parameters["grid"]),
        status=Status(step.status),
        progress=step.progress,
        message=step.error or step.message,
        asked_at=step.created_at,
        matrix=SpeedMatrix.model_validate(step.result) if done else None,
    )


def speed_grid(batch_sizes: Sequence[int] | str = "", threads: Sequence[int] | str = "") -> SpeedGrid:
    """The grid of these numbers, given as such or as texts with commas between; the usual ones for what is empty.

    Raises `SpeedGridInvalid`.
    """
    asked = {"batch_sizes": batch_sizes, "threads": threads}
    try:
        return SpeedGrid.model_validate({name: _numbers(value) for name, value in asked.items() if value})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = str(first["loc"][0]) if first["loc"] else None
        reason = first["msg"].removeprefix("Value error, ").rstrip(".")
        raise SpeedGridInvalid(field=field, reason=reason[:1].lower() + reason[1:]) from error


def _numbers(value: Sequence[int] | str) -> list[int | str]:
    return [one.strip() for one in value.split(",") if one.strip()] if isinstance(value, str) else list(value)


@transaction.atomic
def session_measure(
    session: OptimizationSession, user: User, grid: SpeedGrid | None = None, candidate: str = ""
) -> OptimizationSession:
    """Measures original and `candidate` over `grid`, as a step of its own. Nothing that was decided changes.

    Without a candidate, what the session delivers is measured; if that is the original, the original alone.

    Raises `PermissionDenied`, `SessionMoveRefused` unless the session is completed, `CandidateUnknown`,
    `SpeedNotMeasurable`, `QueueAway`.
    """
    require_role(user, session.team, Role.ENGINEER)
    row = OptimizationSession.objects.locked(session.pk)
    if row.status != Status.COMPLETED:
        raise SessionMoveRefused(move=MOVE, status=row.status)
    request = _request(row, user, grid or SpeedGrid(), candidate or _delivered(row))
    require_queue()
    row.reopen(MOVE)
    (step,) = pipeline.keep_steps(row, (request,))
    row.log.create(step_key=step.key, message=request.reason)
    trail.record("session.speed_requested", actor=user, session=row, subject=step.candidate_key, reason=request.reason)
    messages.send_step(step)
    messages.send_advance(row.pk)
    events.poke(row)
    return row


def _delivered(session: OptimizationSession) -> str:
    """The key of what the session delivers, or of the compared version; empty if the original stands."""
    if session.compared_id is not None:
        return session.candidates.get().key
    return (Verdict.model_validate(session.verdict).candidate or "") if session.verdict else ""


def _request(session: OptimizationSession, user: User, grid: SpeedGrid, candidate: str) -> StepRequest:
    number = session.steps.filter(kind=StepKind.MATRIX).count() + 1
    subject = f"the original and {candidate}" if candidate else "the original"
    return StepRequest(
        key=f"matrix-{number}",
        kind=StepKind.MATRIX,
        queue=measuring_queue(session.criteria),
        reason=f"{user.email} asks for the speed of {subject} by batch size and threads.",
        candidate=candidate or None,
        parameters={"grid": grid.model_dump(mode="json"), "by": user.email},
        parents=_parents(session, candidate),
    )


def _parents(session: OptimizationSession, candidate: str) -> dict[str, str]:
    """Where the candidate's file comes from; empty for the original alone."""
    if not candidate:
        return {}
    known = list(session.candidates.order_by("pk").values_list("key", flat=True))
    if candidate not in known:
        raise CandidateUnknown(field="candidate", candidate=candidate, known=listed(known) or "none")
    if session.compared_id is not None:
        return starting_from(COMPARED)
    maker = makers(session).get(candidate)
    if maker is None or collecting.is_gone(maker, ask_the_store=True):
        raise SpeedNotMeasurable(field="candidate", candidate=candidate)
    return starting_from(maker.key)
