"""Notifications, who has read them, the channels they go to, and the outbox of deliveries."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from apps.notifications import failures, kinds
from apps.notifications.querysets import BellQuerySet, ChannelQuerySet, DeliveryQuerySet
from apps.zones import UTC

if TYPE_CHECKING:
    from apps.accounts.models import User

LONGEST_ADDRESS = 1000
BOTH_SECRETS_FOR = timedelta(hours=24)
"""How long messages are also signed with the secret before the last rotation."""


class Medium(models.TextChoices):
    BELL = "bell", _("Bell")
    EMAIL = "email", _("E-mail")
    WEBHOOK = "webhook", _("Webhook")
    CHAT = "chat", _("Chat or push service")


class Digest(models.TextChoices):
    NONE = "none", _("Each at once")
    HOURLY = "hourly", _("Together, every hour")
    DAILY = "daily", _("Together, every morning at 8")


class Notification(models.Model):
    """Something that happened, as members are told it. Written in the transaction of its audit event."""

    team = models.ForeignKey("accounts.Team", on_delete=models.CASCADE, null=True, related_name="notifications")
    """Empty if it concerns the installation; then it is for the operators."""
    event = models.PositiveBigIntegerField(unique=True, editable=False)
    """The sequence number of its audit event."""
    kind = models.CharField(max_length=40, choices=kinds.CHOICES)
    title = models.CharField(max_length=200)
    """In English."""
    form = models.CharField(max_length=200, blank=True)
    """The title with places for `values`; empty for what is older than this."""
    values = models.JSONField(default=dict)
    text = models.TextField(blank=True)
    path = models.CharField(max_length=300, blank=True)
    """Where in the portal to look, or empty."""
    concerns = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    """Whose session or upload it is, if somebody's."""
    data = models.JSONField(default=dict)
    """What a program needs: ids, codes, numbers."""
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ("-pk",)
        indexes = (models.Index(fields=("created_at",), name="notification_by_age"),)

    def __str__(self) -> str:
        return self.title

    @property
    def headline(self) -> str:
        """The title in the reader's language."""
        return gettext(self.form).format(**self.values) if self.form else self.title

    @property
    def url(self) -> str:
        """The address for members, or empty."""
        return f"{settings.LATHE.base_url}{self.path}" if self.path else ""

    @property
    def tone(self) -> str:
        """The colour of its badge."""
        known = kinds.KINDS.get(self.kind)
        return known.tone if known else "info"


class BellEntry(models.Model):
    """One notification in one member's bell."""

    notification = models.ForeignKey(Notification, on_delete=models.CASCADE, related_name="entries")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="bell_entries")
    read_at = models.DateTimeField(null=True, blank=True)

    objects = BellQuerySet.as_manager()

    class Meta:
        verbose_name = _("notification")
        verbose_name_plural = _("notifications")
        ordering = ("-notification_id",)
        constraints = (models.UniqueConstraint(fields=("notification", "user"), name="one_bell_entry_per_member"),)
        indexes = (
            models.Index(fields=("user", "-notification"), name="bell_of_member"),
            models.Index(fields=("user",), condition=Q(read_at=None), name="bell_unread"),
        )

    def __str__(self) -> str:
        return f"{self.notification} ({self.user})"


class Channel(models.Model):
    """A way to tell a member (with `user`) or a whole team (without): what, where, and when.

    Each member has one bell and one e-mail channel in each team, made when first needed.
    """

    team = models.ForeignKey("accounts.Team", on_delete=models.CASCADE, null=True, related_name="channels")
    """Empty for an operator's channel about the installation."""
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="channels")
    medium = models.CharField(max_length=7, choices=Medium)
    name = models.CharField(max_length=80)
    address = models.CharField(max_length=LONGEST_ADDRESS, blank=True)
    """A webhook's URL, a chat's address, or a team's e-mail address. Empty for a member's bell and e-mail."""
    kinds = models.JSONField(default=list)
    """The names of the kinds that it carries."""
    mine_only = models.BooleanField(default=False)
    """Whether a member is told only of their own sessions and uploads, and of what concerns the whole team."""
    enabled = models.BooleanField(default=True)
    digest = models.CharField(max_length=6, choices=Digest, default=Digest.NONE)
    quiet_from = models.TimeField(null=True, blank=True)
    quiet_until = models.TimeField(null=True, blank=True)
    time_zone = models.CharField(max_length=60, default="UTC")
    secret = models.CharField(max_length=120, blank=True, editable=False)
    """A webhook's key, `whsec_` and base64. It signs, so it cannot be hashed."""
    previous_secret = models.CharField(max_length=120, blank=True, editable=False)
    previous_secret_until = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")

    objects = ChannelQuerySet.as_manager()

    class Meta:
        verbose_name = _("notification channel")
        verbose_name_plural = _("notification channels")
        ordering = ("pk",)
        constraints = (
            models.UniqueConstraint(
                fields=("team", "user", "medium"),
                condition=Q(medium__in=("bell", "email"), team__isnull=False, user__isnull=False),
                name="one_bell_and_mail_per_member",
            ),
            models.UniqueConstraint(
                fields=("user", "medium"),
                condition=Q(medium__in=("bell", "email"), team__isnull=True, user__isnull=False),
                name="one_bell_and_mail_per_operator",
            ),
        )

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("notifications:channel", args=[self.pk])

    @property
    def settings_path(self) -> str:
        """Where in the portal its settings are listed."""
        return reverse("notifications:settings") + ("" if self.team_id else "?about=installation")

    @property
    def is_fixed(self) -> bool:
        """Whether it is a member's bell or e-mail, which can be switched off but not removed."""
        return self.user_id is not None and self.medium in (Medium.BELL, Medium.EMAIL)

    @property
    def recipient(self) -> str:
        """The e-mail address that an e-mail channel sends to."""
        return self.address or (self.user.email if self.user else "")

    @property
    def secrets(self) -> list[str]:
        """The secrets that sign a message now, the newest first."""
        until = self.previous_secret_until
        valid = bool(self.previous_secret and until and until > timezone.now())
        return [self.secret, self.previous_secret] if valid else [self.secret]

    @property
    def offered(self) -> tuple[str, ...]:
        """The names of the kinds that it can carry."""
        return kinds.offered(installation=self.team_id is None, bell=self.medium == Medium.BELL)

    def carries(self, notification: Notification) -> bool:
        """Whether the notification is to go here."""
        if notification.kind not in self.kinds:
            return False
        return not (self.mine_only and notification.concerns_id not in (None, self.user_id))


class DeliveryStatus(models.TextChoices):
    WAITING = "waiting", _("Waiting")
    DELIVERED = "delivered", _("Delivered")
    GIVEN_UP = "given_up", _("Given up")


class Delivery(models.Model):
    """One message to one channel: a row of the outbox, claimed by compare-and-set with a lease."""

    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="deliveries")
    notification = models.ForeignKey(Notification, on_delete=models.CASCADE, null=True, related_name="deliveries")
    """Empty for a test message."""
    message_id = models.UUIDField(default=uuid.uuid4, editable=False)
    """The id that a receiver recognizes repetitions by: the same on every attempt, and on a replay."""
    replays = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, related_name="+")
    status = models.CharField(max_length=9, choices=DeliveryStatus, default=DeliveryStatus.WAITING)
    held = models.BooleanField(default=False)
    """Whether quiet hours or a digest hold it back. Held messages go out together."""
    due_at = models.DateTimeField(default=timezone.now)
    asked_at = models.DateTimeField(null=True, editable=False)
    """When it was last sent to the workers."""
    claim = models.UUIDField(null=True, editable=False)
    claimed_until = models.DateTimeField(null=True, editable=False)
    tries = models.PositiveIntegerField(default=0)
    error = models.CharField(max_length=500, blank=True)
    """Why the last attempt failed."""
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    ended_at = models.DateTimeField(null=True, editable=False)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        ordering = ("-pk",)
        indexes = (
            models.Index(fields=("due_at",), condition=Q(status="waiting"), name="deliveries_waiting"),
            models.Index(fields=("channel", "-id"), name="deliveries_of_channel"),
        )

    def __str__(self) -> str:
        return f"{self.subject} → {self.channel}"

    @property
    def subject(self) -> str:
        """In English."""
        return str(self.notification) if self.notification else "Test message"

    @property
    def trouble(self) -> str:
        """Why the last attempt failed, in the reader's language."""
        return failures.shown(self.error)

    @property
    def headline(self) -> str:
        """The subject in the reader's language."""
        return self.notification.headline if self.notification else gettext("Test message")


class Attempt(models.Model):
    """One attempt to deliver. The receiver's answer is not kept: it might reveal what Lathe alone can reach."""

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="attempts")
    at = models.DateTimeField(default=timezone.now)
    took_ms = models.PositiveIntegerField(default=0)
    status = models.PositiveSmallIntegerField(null=True)
    """The HTTP status, if there was an answer."""
    error = models.CharField(max_length=500, blank=True)
    """Empty if it succeeded."""

    class Meta:
        ordering = ("pk",)

    def __str__(self) -> str:
        return failures.shown(self.error) or (f"HTTP {self.status}" if self.status else gettext("sent"))


class Condition(models.Model):
    """A lasting trouble that was already told, such as a full disk, so that it is told once until it ends."""

    name = models.CharField(max_length=120, primary_key=True)
    since = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.name


def defaults_of(medium: Medium, user: User, *, installation: bool) -> dict[str, Any]:
    """The channel that a member has before they choose anything: in the bell all but what a program wants to know, the
    important by e-mail.
    """
    if medium is Medium.BELL:
        rung = kinds.preset(installation=installation, bell=True)
        return {"name": f"Bell of {user.email}"[:80], "kinds": list(rung)}
    mailed = [name for name in kinds.preset(installation=installation) if name in kinds.MAILED]
    zone = user.time_zone or UTC
    return {"name": f"E-mail to {user.email}"[:80], "kinds": mailed, "mine_only": True, "time_zone": zone}
