"""What versions and data sets have in common: a file that is checked after it arrives."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any, ClassVar

from django.db import models, transaction
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from apps.accounts.models import Team
from apps.audit import trail
from apps.models import clock, tallies


class InspectionStatus(models.TextChoices):
    """The status of a file on its way into the store."""

    PENDING = "pending", _("Being checked")
    READY = "ready", _("Ready")
    REFUSED = "refused", _("Refused")


class Inspected(models.Model):
    """A file that is checked after it arrives. A refusal has a code and a sentence.

    A check is claimed by compare-and-set with a lease, like a step. If its worker falls silent, the check is repeated.
    """

    TALLIED_AS: ClassVar[str]
    """The kind of such files in the tally of checks."""

    status = models.CharField(max_length=10, choices=InspectionStatus, default=InspectionStatus.PENDING, editable=False)
    refusal_code = models.CharField(max_length=80, blank=True, editable=False)
    refusal = models.TextField(blank=True, editable=False)
    check_claim = models.UUIDField(null=True, editable=False)
    """The token of the running check."""
    check_expires_at = models.DateTimeField(null=True, editable=False)
    """The time until which its worker may be silent."""
    check_attempts = models.PositiveIntegerField(default=0, editable=False)
    check_not_before = models.DateTimeField(null=True, editable=False)
    """Backoff: the check is not claimed before this time."""
    check_asked_at = models.DateTimeField(null=True, editable=False)
    """When a message was last sent for the check. An old time reveals a lost message."""

    class Meta:
        abstract = True

    @property
    def owning_team(self) -> Team:
        raise NotImplementedError

    @property
    def pending(self) -> bool:
        return self.status == InspectionStatus.PENDING

    @property
    def ready(self) -> bool:
        return self.status == InspectionStatus.READY

    @property
    def refused(self) -> bool:
        return self.status == InspectionStatus.REFUSED

    def accept(self) -> None:
        """Pending → ready. Any other status stays unchanged: the first result counts."""
        with transaction.atomic():
            if self._settle(InspectionStatus.READY):
                self.record("upload.ready")

    def refuse(self, code: str, sentence: str) -> bool:
        """Pending → refused, with the reason. Any other status stays unchanged: the first result counts. Returns
        whether it was this one.
        """
        with transaction.atomic():
            settled = self._settle(InspectionStatus.REFUSED, refusal_code=code, refusal=sentence)
            if settled:
                self.record("upload.refused", reason=sentence, code=code)
        return settled

    def record(self, action: str, *, reason: str = "", **more: Any) -> None:
        """Records what happened to the file in its team's audit trail, with whose upload it was."""
        row: Any = self  # versions and data sets have these fields
        data = {**more, "path": row.get_absolute_url(), "user": row.created_by_id, "filename": row.filename}
        trail.record(action, team=self.owning_team, subject=str(self), reason=reason, data=data)

    def look_again(self) -> None:
        """Ready → pending, to be checked again. Any other status stays unchanged."""
        type(self)._default_manager.filter(pk=self.pk, status=InspectionStatus.READY).update(
            status=InspectionStatus.PENDING, check_attempts=0, check_not_before=None, **_NO_CLAIM
        )
        self.refresh_from_db(fields=["status"])

    # --- its check ---

    def take_check(self, lease: timedelta) -> bool:
        """Claims the check for this run, if it is due and not claimed by another run."""
        claim = uuid.uuid4()
        taken = self._pending.checkable().update(
            check_claim=claim, check_expires_at=clock.after(lease), check_attempts=F("check_attempts") + 1
        )
        if taken:
            self.refresh_from_db(fields=["check_claim", "check_expires_at", "check_attempts"])
        return bool(taken and self.check_claim == claim)

    def renew_check(self, lease: timedelta) -> bool:
        """A heartbeat of the run that holds the claim."""
        return self._of_claim(check_expires_at=clock.after(lease))

    def put_off_check(self, wait: timedelta | None = None, *, counts: bool = True, stale: bool = False) -> bool:
        """Releases the claim, to be checked again after `wait`.

        If `counts` is false, the attempt is not counted. If `stale`, the claim is released only if its lease has
        expired.
        """
        attempts = self.check_attempts if counts else self.check_attempts - 1
        not_before = clock.after(wait) if wait else None
        changes = {"check_attempts": attempts, "check_not_before": not_before, "check_asked_at": None, **_NO_CLAIM}
        return self._of_claim(stale=stale, **changes)

    @property
    def _pending(self) -> Any:
        return type(self)._default_manager.filter(pk=self.pk, status=InspectionStatus.PENDING)

    def _of_claim(self, *, stale: bool = False, **changes: Any) -> bool:
        held = self._pending.filter(check_claim=self.check_claim)
        if stale:
            held = held.abandoned()
        return bool(self.check_claim and held.update(**changes))

    def _settle(self, status: InspectionStatus, **fields: str) -> bool:
        """Two workers may have received the same file: compare-and-set accepts one result. Returns whether it was this
        one.
        """
        settled = self._pending.update(status=status, **fields, **_NO_CLAIM)
        self.refresh_from_db(fields=["status", "refusal_code", "refusal"])
        if settled:
            tallies.CHECKS.count(self.TALLIED_AS, status)
        return bool(settled)


_NO_CLAIM: dict[str, Any] = {"check_claim": None, "check_expires_at": None}


def pending_index(name: str) -> models.Index:
    """Of the few rows that wait for their check, which every worker asks for every few seconds."""
    pending = Q(status=InspectionStatus.PENDING)
    return models.Index(fields=("check_expires_at",), condition=pending, name=name)
