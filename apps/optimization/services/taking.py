"""A member takes another measured candidate of a completed session, and what a session has decided so far."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from apps.accounts.models import Role, User
from apps.accounts.services import require_role
from apps.agents.contracts.phrasing import listed, with_full_stop
from apps.agents.contracts.state import Closing, Status, StepKind, StepRequest
from apps.agents.contracts.values import Value
from apps.agents.session.taking import NotTakable, Takings
from apps.agents.techniques.catalogue import catalogue, missing_libraries
from apps.audit import trail
from apps.optimization import breakers, collecting, events, messages, pipeline, workers
from apps.optimization import localized as written
from apps.optimization.errors.lifecycle import SessionMoveRefused
from apps.optimization.errors.results import CandidateNotTakable, CandidateUnknown, DecisionUnknown
from apps.optimization.lineage import Lineage
from apps.optimization.models import OptimizationSession, SessionStep
from apps.optimization.snapshot import session_state
from apps.outages import require_queue


@transaction.atomic
def session_take(session: OptimizationSession, user: User, candidate: str) -> OptimizationSession:
    """Delivers `candidate` instead of what the session delivers, after it is judged if it was not.

    What was delivered stands until the new package is made, and if the candidate breaks a limit. Promotions do not
    change. A file that is not kept any more is made again by its recipe, and what is made is judged anew.

    Raises `PermissionDenied`, `SessionMoveRefused` unless the session is completed, `CandidateUnknown`,
    `CandidateNotTakable`, `QueueAway`.
    """
    require_role(user, session.team, Role.ENGINEER)
    row = OptimizationSession.objects.locked(session.pk)
    if row.status != Status.COMPLETED:
        raise SessionMoveRefused(move="deliver another candidate", status=row.status)
    if row.compared_id is not None:
        raise CandidateNotTakable(field="candidate", candidate=candidate, reason=_("A comparison delivers nothing."))
    known = list(row.candidates.order_by("pk").values_list("key", flat=True))
    if candidate not in known:
        raise CandidateUnknown(field="candidate", candidate=candidate, known=listed(known) or "none")
    maker = _maker(row, candidate)
    missing = maker is not None and collecting.is_gone(maker, ask_the_store=True)
    request = _begun(row, candidate, user.email, file_missing=missing)
    if maker is not None and missing:
        _check_can_be_made_again(row, candidate, maker)
    require_queue()
    row.reopen("deliver another candidate")
    again = collecting.make_again(maker, ask_the_store=True) if maker is not None else []
    started = [*again, *pipeline.keep_steps(row, (request,))]
    _record(row, user, candidate, request, again)
    for step in started:
        messages.send_step(step)
    messages.send_advance(row.pk)
    events.poke(row)
    return row


def _maker(session: OptimizationSession, candidate: str) -> SessionStep | None:
    """The step whose artifact was measured as the candidate, whether its file is kept or not."""
    measured = session.steps.filter(kind=StepKind.EVALUATE, candidate_key=candidate).order_by("pk").first()
    return session.steps.select_related("artifact").filter(key=measured.parent_key).first() if measured else None


def _begun(session: OptimizationSession, candidate: str, by: str, *, file_missing: bool) -> StepRequest:
    takings = Takings(session_state(session), catalogue())
    try:
        return takings.begin(candidate, by, file_missing=file_missing)
    except NotTakable as error:
        raise CandidateNotTakable(field="candidate", candidate=candidate, reason=with_full_stop(str(error))) from error


def _check_can_be_made_again(session: OptimizationSession, candidate: str, maker: SessionStep) -> None:
    """Raises `CandidateNotTakable` if a technique that made the file cannot run on any live worker."""
    off, installed = breakers.left_out(), workers.libraries()
    for step in Lineage(session).sources(maker.key):
        spec, libraries = catalogue().get(step.technique), ""
        if spec is None:
            why = _("the technique {technique} is not installed here")
        elif step.technique in off:
            why = _("{technique} is switched off or paused on this installation")
        elif installed and (lacking := missing_libraries(spec, installed)):
            why = _("no worker has {libraries} for {technique}")
            libraries = written.listed(lacking)
        else:
            continue
        why = why.format(technique=step.technique, libraries=libraries)
        reason = _("its file is not kept any more and cannot be made again, because {why}.").format(why=why)
        raise CandidateNotTakable(field="candidate", candidate=candidate, reason=reason)


def _record(
    session: OptimizationSession, user: User, candidate: str, request: StepRequest, again: list[SessionStep]
) -> None:
    made = f" Its file is made again by {listed([step.key for step in again])}." if again else ""
    reason = f"{request.reason}{made}"
    session.log.create(message=f"{user.email} takes {candidate}.{made}")
    trail.record("session.candidate_taken", actor=user, session=session, subject=candidate, reason=reason)


# --- what was decided ------------------------------------------------------------------------------------------------


class SessionDecision(Value):
    """One result that a session has delivered: the manager's, or one that a member took."""

    number: int
    """0 for the manager's own decision, else the number of the request."""
    by: str
    candidate: str | None
    """`None` if the original stands."""
    headline: str | None
    at: datetime | None
    """When its package was made."""
    current: bool


class TakingOutcome(Value):
    """A member's request to deliver another candidate, and how it ended."""

    number: int
    candidate: str
    by: str
    result: str
    """`open`, `delivered`, `refused` or `failed`."""
    reason: str | None
    """How it ended, in sentences; `None` while it is open."""


def decisions_of(
    session: OptimizationSession, steps: Iterable[SessionStep] | None = None
) -> tuple[SessionDecision, ...]:
    """Every result that the session has delivered, in order. The last one is current. `steps` are the session's in
    order, if they are at hand.
    """
    made = _packages(session, steps)
    return tuple(_decision(step, current=step == made[-1]) for step in made)


def _packages(session: OptimizationSession, steps: Iterable[SessionStep] | None = None) -> list[SessionStep]:
    if session.verdict is None:
        return []
    return packages_among(session.steps.filter(kind=StepKind.PACKAGE).order_by("pk") if steps is None else steps)


def packages_among(steps: Iterable[SessionStep]) -> list[SessionStep]:
    """The steps among `steps` that have made a package."""
    return [step for step in steps if step.kind == StepKind.PACKAGE and step.status == Status.COMPLETED]


def latest_packaging(session: OptimizationSession) -> SessionStep | None:
    """The package step of what the session delivers; `None` before there is one."""
    return next(reversed(_packages(session)), None)


def _decision(step: SessionStep, *, current: bool) -> SessionDecision:
    closing = Closing.model_validate(step.parameters)
    verdict, taking = closing.verdict, closing.taking
    return SessionDecision(
        number=taking.number if taking else 0,
        by=taking.by if taking else "OptimizationManager",
        candidate=verdict.candidate,
        headline=verdict.headline.sentence if verdict.headline else None,
        at=step.finished_at,
        current=current,
    )


def decision_step(session: OptimizationSession, number: str) -> SessionStep:
    """The package step of the decision `number`. Raises `DecisionUnknown`."""
    made = {_decision(step, current=False).number: step for step in _packages(session)}
    step = made.get(int(number)) if number.isascii() and number.isdecimal() and len(number) < 6 else None
    if step is None:
        known = listed([str(one) for one in made]) or "none"
        raise DecisionUnknown(field="decision", number=number, known=known)
    return step


def requests_of(session: OptimizationSession, steps: Iterable[SessionStep]) -> tuple[TakingOutcome, ...]:
    """Every request to deliver another candidate, in order. `steps` are the session's."""
    if not any(step.key.startswith("take-") for step in steps):
        return ()
    takings = Takings(session_state(session), catalogue())
    reasons = dict(session.audit_events.filter(key__startswith="take/").values_list("key", "reason"))
    return tuple(
        TakingOutcome(
            number=take.taking.number,
            candidate=take.taking.candidate,
            by=take.taking.by,
            result=takings.result(take).value,
            reason=reasons.get(f"take/{take.taking.number}"),
        )
        for take in takings.takes
    )
