"""The audit trail: an append-only chain of events in which every gap and every change is detectable.

Each event contains the SHA-256 of its own contents and of the previous event. The head of the chain is one row that
writers lock, so concurrent writers produce a single order, and a missing tail is detectable too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC
from typing import Any, NoReturn

from django.conf import settings
from django.db import models, transaction
from django.db.models import Max, Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.audit.querysets import AuditQuerySet, AuditTrailImmutable

APP_LABEL = "optimization"
"""The Django app whose migrations created the tables."""
GENESIS = "0" * 64
"""The previous digest of the first event."""
EXACT_INTEGERS = 2**53


class ActorKind(models.TextChoices):
    USER = "user", gettext_lazy("User")
    AGENT = "agent", gettext_lazy("Agent")
    SYSTEM = "system", gettext_lazy("System")


class AuditHead(models.Model):
    """The end of the chain: one row that is locked while an event is added."""

    sequence = models.PositiveBigIntegerField(default=0)
    digest = models.CharField(max_length=64, default=GENESIS)

    class Meta:
        app_label = APP_LABEL

    def __str__(self) -> str:
        return f"#{self.sequence}"


class AuditVerification(models.Model):
    """The result of the last verification of the whole chain, so that pages need not scan it: one row."""

    at = models.DateTimeField(default=timezone.now)
    events = models.PositiveBigIntegerField(default=0)
    """How many events there were."""
    took_s = models.FloatField(default=0.0)
    broken_at = models.PositiveBigIntegerField(null=True)
    """The first event at which the chain is broken; empty if it is whole."""
    reason = models.CharField(max_length=200, blank=True)

    class Meta:
        app_label = APP_LABEL

    def __str__(self) -> str:
        return self.sentence

    @property
    def whole(self) -> bool:
        return self.broken_at is None

    @property
    def sentence(self) -> str:
        """The result in one sentence."""
        if self.whole:
            return _("The audit trail is intact: {count} events.").format(count=self.events)
        broken = _("The audit trail is broken at event {sequence}: {reason}.")
        return broken.format(sequence=self.broken_at, reason=self.reason)


class AuditEvent(models.Model):
    """One action of a member or an agent, with its reason.

    The event outlives the rows it refers to, so its references have no constraint and no cascade, and the names that a
    reader needs are copied.
    """

    sequence = models.PositiveBigIntegerField(unique=True, editable=False)
    """The position in the chain, which all teams share."""
    number = models.PositiveBigIntegerField(null=True, editable=False)
    """The position among the team's events, 1, 2, 3 … without gaps; empty for an event without a team.

    It follows from the chain, so it is not part of the digest. `verify` counts again.
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
    """The member's address, or the name of the agent or service account."""
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.DO_NOTHING, db_constraint=False, null=True, related_name="+"
    )
    action = models.CharField(max_length=60)
    """Actions of users and of Lathe are dotted (`session.started`). Agents' decisions are single words (`planned`)."""
    subject = models.CharField(max_length=200, blank=True)
    reason = models.TextField(blank=True)
    data = models.JSONField(default=dict)
    key = models.CharField(max_length=120, blank=True)
    """The key of an agent's decision, unique in its session, so that a repeated decision is recorded once."""
    previous = models.CharField(max_length=64, editable=False)
    digest = models.CharField(max_length=64, unique=True, editable=False)

    objects = AuditQuerySet.as_manager()

    class Meta:
        app_label = APP_LABEL
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
        """Appends a new event to the chain. Raises `AuditTrailImmutable` for an existing event."""
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
        """The team's next number. The lock on the head keeps two writers from taking the same one."""
        if self.team_id is None:
            return None
        last = AuditEvent.objects.filter(team=self.team_id).aggregate(last=Max("number"))["last"]
        return (last or 0) + 1

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AuditTrailImmutable

    def expected_digest(self) -> str:
        """The SHA-256, in hexadecimal, of the contents as canonical JSON, including the previous digest."""
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
    """`value` with each number in the form that every database preserves: 1.0 and 1 are the same number in JSON."""
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
