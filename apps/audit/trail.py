"""Adds events to the audit trail, and verifies it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from django.db import transaction

from apps.audit.models import GENESIS, ActorKind, AuditEvent, AuditHead
from apps.texts import storable


class Person(Protocol):
    """The actor of an event: a member, or a service account."""

    @property
    def pk(self) -> Any: ...

    @property
    def email(self) -> str: ...

    @property
    def is_service(self) -> bool: ...


class Team(Protocol):
    """The team whose audit trail shows an event."""

    @property
    def pk(self) -> Any: ...


class Session(Protocol):
    """The session of an event, if it has one."""

    @property
    def pk(self) -> UUID: ...

    @property
    def team_id(self) -> int: ...


Listener = Callable[[AuditEvent], None]
_listeners: list[Listener] = []


def connect(listener: Listener) -> None:
    """Calls `listener` with each new event, in the transaction that writes it: either both last or neither does."""
    if listener not in _listeners:
        _listeners.append(listener)


@transaction.atomic
def record(
    action: str,
    *,
    actor: Person | str | None = None,
    team: Team | None = None,
    session: Session | None = None,
    subject: str = "",
    reason: str = "",
    data: Mapping[str, Any] | None = None,
    key: str = "",
) -> AuditEvent:
    """Adds one event. `actor` is a member, a service account, an agent's name, or `None` for Lathe itself. `team`
    defaults to the session's.

    The head of the chain stays locked until the surrounding transaction ends. Lock a session's row before, not after.
    """
    kind, name, user_id = ActorKind.SYSTEM, "Lathe", None
    if isinstance(actor, str):
        kind, name = ActorKind.AGENT, actor
    elif actor is not None and actor.is_service:
        kind, name, user_id = ActorKind.AGENT, f"{actor} (service account)", actor.pk
    elif actor is not None:
        kind, name, user_id = ActorKind.USER, actor.email, actor.pk
    event = AuditEvent.objects.create(
        action=action,
        actor_kind=kind,
        actor=name,
        user_id=user_id,
        team_id=team.pk if team else session.team_id if session else None,
        session_id=session.pk if session else None,
        subject=storable(subject)[:200],
        reason=storable(reason),
        data=dict(data or {}),
        key=key,
    )
    for listener in _listeners:
        listener(event)
    return event


def record_changes(
    action: str, actor: Person, team: Team, subject: str, before: Mapping[str, Any], row: object
) -> None:
    """Adds one event for the fields of `row` that differ from `before`, each with both values. Adds none if none
    differs.
    """
    after = {name: getattr(row, name) for name in before}
    changed = {name: [before[name], value] for name, value in after.items() if before[name] != value}
    if changed:
        record(action, actor=actor, team=team, subject=subject, data=changed)


@dataclass(frozen=True)
class BrokenLink:
    """The first event at which the chain is broken."""

    sequence: int
    reason: str


def verify() -> BrokenLink | None:
    """Verifies the whole chain in order. Returns `None` if every link is valid. Events may be added meanwhile."""
    before = _head()
    sequence, digest = 0, GENESIS
    numbers: Counter[int] = Counter()
    for event in AuditEvent.objects.in_order().iterator(chunk_size=500):
        if event.sequence != sequence + 1:
            return BrokenLink(event.sequence, f"event {sequence + 1} is missing before it")
        if event.previous != digest:
            return BrokenLink(event.sequence, "it does not follow from the event before it")
        if event.digest != event.expected_digest():
            return BrokenLink(event.sequence, "its contents were changed")
        if event.team_id is not None:
            numbers[event.team_id] += 1
        if event.number != (numbers[event.team_id] if event.team_id is not None else None):
            return BrokenLink(event.sequence, f"its team's number should not be {event.number}")
        sequence, digest = event.sequence, event.digest
        if sequence == before.sequence and digest != before.digest:
            return BrokenLink(sequence, "the end of the chain was kept with another digest")
    after = _head()
    ended = before.sequence <= sequence <= after.sequence
    if not ended or (sequence == after.sequence and digest != after.digest):
        return BrokenLink(sequence + 1, f"the chain should end with event {after.sequence} and ends with {sequence}")
    return None


def _head() -> AuditHead:
    return AuditHead.objects.filter(pk=1).first() or AuditHead()
