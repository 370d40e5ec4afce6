"""Moves of protected aliases, which a second member approves."""

from __future__ import annotations

from django.conf import settings
from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.accounts.models import User
from apps.audit import trail
from apps.models.models.aliases import Alias
from apps.models.models.versions import ModelVersion
from apps.models.querysets import AliasRequestQuerySet


class RequestStatus(models.TextChoices):
    PENDING = "pending", _("Waits for approval")
    APPROVED = "approved", _("Approved")
    REJECTED = "rejected", _("Rejected")
    WITHDRAWN = "withdrawn", _("Withdrawn")
    STALE = "stale", _("Out of date")


class AliasRequest(models.Model):
    """A move of a protected alias that a second member is asked to approve, and how they decided."""

    alias = models.ForeignKey(Alias, on_delete=models.CASCADE, related_name="requests")
    from_version = models.ForeignKey(ModelVersion, on_delete=models.SET_NULL, null=True, related_name="+")
    """Where the alias pointed when it was asked. If it moves, the request is out of date."""
    to_version = models.ForeignKey(ModelVersion, on_delete=models.SET_NULL, null=True, related_name="+")
    from_number = models.PositiveIntegerField()
    to_number = models.PositiveIntegerField()
    """The versions' numbers, for when they are deleted."""
    rolls_back = models.BooleanField(default=False)
    """Whether it undoes the newest move, rather than adding one."""
    session = models.UUIDField(null=True, editable=False)
    """The session whose result is promoted or rolled back, if there is one."""
    reason = models.TextField(blank=True)
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    """Who may not approve it: the member who asked, or who made the token of the service account that did."""
    asked_at = models.DateTimeField(default=timezone.now, editable=False)
    status = models.CharField(max_length=9, choices=RequestStatus, default=RequestStatus.PENDING)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    decided_at = models.DateTimeField(null=True, blank=True, editable=False)
    decision = models.TextField(blank=True)
    """The reason of the decision, or why the request is out of date."""

    objects = AliasRequestQuerySet.as_manager()

    class Meta:
        ordering = ("-pk",)
        constraints = (
            models.UniqueConstraint(
                fields=("alias", "to_version", "rolls_back"),
                condition=models.Q(status="pending"),
                name="one_pending_request_per_move",
            ),
        )

    def __str__(self) -> str:
        return f"{self.alias}: v{self.from_number} → v{self.to_number}"

    @property
    def pending(self) -> bool:
        return self.status == RequestStatus.PENDING

    def record_decision(self, status: RequestStatus, action: str, user: User, reason: str) -> bool:
        """Pending → `status`, once: of two decisions at the same time, one counts and is recorded as `action`. Returns
        whether it was this one.
        """
        changes = {"status": status, "decided_by": user, "decided_at": timezone.now(), "decision": reason}
        with transaction.atomic():
            settled = AliasRequest.objects.pending().filter(pk=self.pk).update(**changes)
            self.refresh_from_db(fields=list(changes))
            if settled:
                self.record(action, user, reason)
        return bool(settled)

    def record(self, action: str, user: User, reason: str) -> None:
        """Adds an event about this request to the team's audit trail."""
        model = self.alias.model
        data = {
            "request": self.pk,
            "from": self.from_number,
            "to": self.to_number,
            "rolls_back": self.rolls_back,
            "asked_by": self.asked_by.email if self.asked_by else None,
            "user": self.person_id,
            "session": str(self.session) if self.session else None,
        }
        subject = f"{model.name}: {self.alias.name}"
        trail.record(action, actor=user, team=model.team, subject=subject, reason=reason, data=data)
