"""The audit trail: a chain of events that only grows, in which every gap and every change shows.

Each event carries the SHA-256 of its own contents and of the event before it. The head of the chain is one row that a
writer locks, so the chain has one order however many write at once, and a missing tail shows too. `verify` walks it.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any, NoReturn, Self

from django.conf import settings
from django.db import models, transaction
from django.db.models import Max, Q
from django.utils import timezone

from apps.accounts.querysets import TeamOwnedQuerySet
from apps.models.texts import keepable

if TYPE_CHECKING:
    from apps.accounts.models import Team, User
    from apps.optimization.models import OptimizationSession

GENESIS = "0" * 64
"""What stands in place of a digest before the first event."""
EXACT_INTEGERS = 2**53


class AuditTrailImmutable(TypeError):
    """Code tried to change or delete an audit event. Nothing a user does leads here."""

    def __init__(self) -> None:
        super().__init__("audit events are only ever added: they cannot be changed or deleted")


class AuditQuerySet(TeamOwnedQuerySet["AuditEvent"]):
    """Reads and `create`; everything that would change or skip the chain is refused."""

    def in_order(self) -> Self:
        return self.order_by("sequence")

    def _refuse(self, *args: object, **kwargs: object) -> NoReturn:
        raise AuditTrailImmutable

    update = aupdate = delete = adelete = _raw_delete = _refuse
    bulk_create = abulk_create = bulk_update = abulk_update = _update = _refuse
    update_or_create = aupdate_or_create = _refuse


class ActorKind(models.TextChoices):
    USER = "user"
    AGENT = "agent"
    SYSTEM = "system"


class AuditHead(models.Model):
    """The end of the chain: one row, locked by whoever adds an event."""

    sequence = models.PositiveBigIntegerField(default=0)
    digest = models.CharField(max_length=64, default=GENESIS)

    def __str__(self) -> str:
        return f"#{self.sequence}"


class AuditEvent(models.Model):
    """One thing that a member or an agent did, and why.

    Rows it points to may go while the event stays as it is, so its references are plain: no constraint, no cascade; the
    names that a reader needs are copied.
    """

    sequence = models.PositiveBigIntegerField(unique=True, editable=False)
    """Its place in the chain, which all teams share."""
    number = models.PositiveBigIntegerField(null=True, editable=False)
    """Its place among its team's events, 1, 2, 3 … without a gap; empty for what belongs to no team.

    It follows from the chain, so no digest holds it: `verify` counts again.
    """
    at = models.DateTimeField(default=timezone.now, editable=False)
    team = models.ForeignKey(
        "accounts.Team", on_delete=models.DO_NOTHING, db_constraint=False, null=True, related_name="+"
    )
    session = models.ForeignKey(
        "optimization.OptimizationSession",
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        null=True,
        related_name="audit_events",
    )
    actor_kind = models.CharField(max_length=6, choices=ActorKind, default=ActorKind.SYSTEM)
    actor = models.CharField(max_length=254, default="Lathe")
    """The member's address, or the agent's name."""
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.DO_NOTHING, db_constraint=False, null=True, related_name="+"
    )
    action = models.CharField(max_length=60)
    """What people and Lathe do is dotted (`session.started`); what agents decide is their own word (`planned`)."""
    subject = models.CharField(max_length=200, blank=True)
    reason = models.TextField(blank=True)
    data = models.JSONField(default=dict)
    key = models.CharField(max_length=120, blank=True)
    """Of an agent's decision: unique in its session, so that telling twice records once."""
    previous = models.CharField(max_length=64, editable=False)
    digest = models.CharField(max_length=64, unique=True, editable=False)

    objects = AuditQuerySet.as_manager()

    class Meta:
        ordering = ("-sequence",)
        base_manager_name = "objects"
        constraints = (
            models.UniqueConstraint(
                fields=("session", "key"), condition=~Q(key=""), name="audit_decision_unique_in_session"
            ),
            models.UniqueConstraint(fields=("team", "number"), name="audit_number_unique_in_team"),
        )
        indexes = (models.Index(fields=("team", "-sequence"), name="audit_by_team"),)

    def __str__(self) -> str:
        return f"#{self.sequence} {self.action}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Adds a new event at the end of the chain. Raises `AuditTrailImmutable` for one that exists."""
        if not self._state.adding:
            raise AuditTrailImmutable
        with transaction.atomic():
            AuditHead.objects.get_or_create(pk=1)
            head = AuditHead.objects.select_for_update().get(pk=1)
            self.sequence, self.previous = head.sequence + 1, head.digest
            self.digest = self.expected_digest()
            self.number = self._next_number()
            super().save(force_insert=True, using=kwargs.get("using"))
            head.sequence, head.digest = self.sequence, self.digest
            head.save()

    def _next_number(self) -> int | None:
        """The one after the team's last; the head's lock keeps two writers from taking the same."""
        if self.team_id is None:
            return None
        last = AuditEvent.objects.filter(team=self.team_id).aggregate(last=Max("number"))["last"]
        return (last or 0) + 1

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AuditTrailImmutable

    def expected_digest(self) -> str:
        """SHA-256, in hexadecimal, over the contents as canonical JSON, the previous digest included."""
        contents = {
            "sequence": self.sequence,
            "at": self.at.astimezone(UTC).isoformat(timespec="microseconds"),
            "team": self.team_id,
            "session": str(self.session_id) if self.session_id else None,
            "actor_kind": str(self.actor_kind),
            "actor": self.actor,
            "user": self.user_id,
            "action": self.action,
            "subject": self.subject,
            "reason": self.reason,
            "data": _plain(self.data),
            "key": self.key,
            "previous": self.previous,
        }
        text = json.dumps(contents, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    """`value` with each number in the one form that survives every database: 1.0 and 1 are the same number in JSON."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        number = float(value)
        return int(number) if number.is_integer() and abs(number) <= EXACT_INTEGERS else number
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value


def record(
    action: str,
    *,
    actor: User | str | None = None,
    team: Team | None = None,
    session: OptimizationSession | None = None,
    subject: str = "",
    reason: str = "",
    data: Mapping[str, Any] | None = None,
    key: str = "",
) -> AuditEvent:
    """Adds one event. `actor` is a member, an agent's name, or `None` for Lathe itself; `team` follows from `session`.

    The head of the chain stays locked until the surrounding transaction ends: lock a session's row before, not after.
    """
    kind, name, user_id = ActorKind.SYSTEM, "Lathe", None
    if isinstance(actor, str):
        kind, name = ActorKind.AGENT, actor
    elif actor is not None:
        kind, name, user_id = ActorKind.USER, actor.email, actor.pk
    return AuditEvent.objects.create(
        action=action,
        actor_kind=kind,
        actor=name,
        user_id=user_id,
        team_id=team.pk if team else session.team_id if session else None,
        session_id=session.pk if session else None,
        subject=keepable(subject)[:200],
        reason=keepable(reason),
        data=dict(data or {}),
        key=key,
    )


@dataclass(frozen=True)
class BrokenLink:
    """The first event at which the chain does not hold."""

    sequence: int
    reason: str


def verify() -> BrokenLink | None:
    """Walks the whole chain in order; `None` when every link holds."""
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
    head = AuditHead.objects.filter(pk=1).first() or AuditHead()
    if (head.sequence, head.digest) != (sequence, digest):
        return BrokenLink(sequence + 1, f"the chain should end with event {head.sequence} and ends with {sequence}")
    return None
