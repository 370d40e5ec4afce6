"""The limits of the store, and the quotas of teams."""

from __future__ import annotations

from django.core.validators import MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from apps.accounts.models import Team


class StoreSettings(models.Model):
    """Limits of the store, editable in the admin and effective immediately."""

    max_upload_bytes = models.BigIntegerField(default=8 * 1024**3, validators=[MinValueValidator(1)])
    max_unpacked_bytes = models.BigIntegerField(default=16 * 1024**3, validators=[MinValueValidator(1)])
    upload_lifetime_hours = models.PositiveIntegerField(default=24, validators=[MinValueValidator(1)])
    default_quota_bytes = models.BigIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text=_("The quota of teams without a quota of their own. Empty: no limit."),
    )
    accept_code = models.BooleanField(
        default=True,
        help_text=_("Whether members who may upload code can upload models with code. The code runs on the workers."),
    )

    class Meta:
        verbose_name = verbose_name_plural = _("store settings")

    def __str__(self) -> str:
        return "Store settings"

    @classmethod
    def current(cls) -> StoreSettings:
        return cls.objects.get_or_create(pk=1)[0]


class StoreQuota(models.Model):
    """The quota of one team, if it differs from the default."""

    team = models.OneToOneField(Team, on_delete=models.CASCADE, related_name="store_quota")
    quota_bytes = models.BigIntegerField(
        null=True, blank=True, validators=[MinValueValidator(0)], help_text=_("Empty: no limit.")
    )

    def __str__(self) -> str:
        return f"Quota of {self.team}"
