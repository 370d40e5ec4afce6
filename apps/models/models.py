"""The model store: registered models with versions, aliases and lineage; data sets; content-addressed files."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models, transaction
from django.db.models import F, Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.accounts.models import Team, User
from apps.agents.contracts.formats import format_spec
from apps.agents.contracts.reports.card import CardTexts
from apps.agents.contracts.reports.dataset import DatasetSummary
from apps.agents.contracts.reports.model import ModelSummary
from apps.audit import trail
from apps.models import clock, tallies
from apps.models.querysets import (
    AliasQuerySet,
    AliasRequestQuerySet,
    BlobQuerySet,
    DataSetQuerySet,
    ModelMetadataQuerySet,
    ModelVersionQuerySet,
    RegisteredModelQuerySet,
    UploadQuerySet,
)
from apps.texts import storable

LONGEST_SIGNATURE = 200
LONGEST_WORDS = 120
"""The maximum length of short metadata from a file; the rest is cut off."""
LONG_FIELDS = ("weights", "code")
"""The fields of a `ModelSummary` that only a version's own page shows."""


class Blob(models.Model):
    """A file by its content: identical bytes are stored once. Unreferenced rows are garbage-collected."""

    sha256 = models.CharField(primary_key=True, max_length=64)
    size_bytes = models.BigIntegerField()
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    touched_at = models.DateTimeField(default=timezone.now, editable=False)
    """When these bytes last arrived. A recently touched blob is kept, because a row may be about to refer to it."""
    damaged_at = models.DateTimeField(null=True, blank=True, editable=False)
    """When the bytes were found missing or changed; empty if no damage is known."""

    objects = BlobQuerySet.as_manager()

    def __str__(self) -> str:
        return self.sha256[:12]

    @property
    def storage_name(self) -> str:
        """The path of the bytes in the store."""
        return f"blobs/{self.sha256[:2]}/{self.sha256}"


class Upload(models.Model):
    """A resumable upload: bytes arrive in chunks at `received_bytes` until `size_bytes` have arrived."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="uploads")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    filename = models.CharField(max_length=255)
    size_bytes = models.BigIntegerField()
    received_bytes = models.BigIntegerField(default=0)
    blob = models.ForeignKey(Blob, on_delete=models.PROTECT, null=True, blank=True, related_name="uploads")
    """Set once complete."""
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()

    objects = UploadQuerySet.as_manager()

    def __str__(self) -> str:
        return self.filename

    @property
    def complete(self) -> bool:
        return self.blob_id is not None

    @property
    def expired(self) -> bool:
        return self.expires_at <= timezone.now()

    @property
    def folder(self) -> str:
        """The path of the chunks in the store."""
        return f"uploads/{self.pk}"


class UploadChunk(models.Model):
    """One chunk of an upload, stored completely or not at all. Deleted once the upload is complete."""

    upload = models.ForeignKey(Upload, on_delete=models.CASCADE, related_name="chunks")
    offset = models.BigIntegerField()
    size_bytes = models.BigIntegerField()
    storage_name = models.CharField(max_length=120)

    class Meta:
        ordering = ("offset",)
        constraints = (models.UniqueConstraint(fields=("upload", "offset"), name="one_chunk_per_offset"),)

    def __str__(self) -> str:
        return f"{self.upload_id} at {self.offset}"


class RegisteredModel(models.Model):
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="models")
    name = models.CharField(max_length=120)
    description = models.TextField(blank=True)
    readme = models.TextField(blank=True)
    """What others should know before they use it, in Markdown. It is a section of every model card."""
    tags = models.JSONField(default=list, blank=True)
    """A list of short strings, lower case, in alphabetical order."""
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = RegisteredModelQuerySet.as_manager()

    class Meta:
        ordering = ("name",)
        constraints = (models.UniqueConstraint(fields=("team", "name"), name="model_name_unique_in_team"),)

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("models:model-detail", args=[self.pk])


class EditedCard(models.Model):
    """The sections of a model's cards that members write, in Markdown. `apps.models.cards` changes them."""

    model = models.OneToOneField(RegisteredModel, on_delete=models.CASCADE, related_name="card")
    intended_use = models.TextField(blank=True)
    training_data = models.TextField(blank=True)
    limitations = models.TextField(blank=True)
    ethical_considerations = models.TextField(blank=True)
    contacts = models.TextField(blank=True)
    revision = models.PositiveIntegerField(default=0)
    """Counts the changes. Who edits the card names the one that they have read."""
    edited_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    edited_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"Card of {self.model}"

    @property
    def texts(self) -> CardTexts:
        return CardTexts(**{name: getattr(self, name) for name in CardTexts.model_fields})


class InspectionStatus(models.TextChoices):
    """The status of a file on its way into the store."""

    PENDING = "pending", _("Being checked")
    READY = "ready", _("Ready")
    REFUSED = "refused", _("Refused")


class Inspected(models.Model):
    """A file that is checked after it arrives. A refusal has a code and a sentence.

    A check is claimed by compare-and-set with a lease, like a step. If its worker falls silent, the check is repeated.
    """

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
        self._settle(InspectionStatus.READY)

    def refuse(self, code: str, sentence: str) -> None:
        """Pending → refused, with the reason. Any other status stays unchanged: the first result counts."""
        with transaction.atomic():
            if self._settle(InspectionStatus.REFUSED, refusal_code=code, refusal=sentence):
                _record_refusal(self)

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
            tallies.CHECKS.count("dataset" if isinstance(self, DataSet) else "model", status)
        return bool(settled)


_NO_CLAIM: dict[str, Any] = {"check_claim": None, "check_expires_at": None}


def _record_refusal(row: Any) -> None:
    """Records the refusal of a version or data set in its team's audit trail, with whose upload it was."""
    team = row.team if isinstance(row, DataSet) else row.model.team
    path, user = row.get_absolute_url(), row.created_by_id
    data = {"code": row.refusal_code, "path": path, "user": user, "filename": row.filename}
    trail.record("upload.refused", team=team, subject=str(row), reason=row.refusal, data=data)


def _pending_index(name: str) -> models.Index:
    """Of the few rows that wait for their check, which every worker asks for every few seconds."""
    pending = Q(status=InspectionStatus.PENDING)
    return models.Index(fields=("check_expires_at",), condition=pending, name=name)


class ModelVersion(Inspected):
    """One immutable file of a model. A version made by Lathe records its parent version, session and step."""

    model = models.ForeignKey(RegisteredModel, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    blob = models.ForeignKey(Blob, on_delete=models.PROTECT, related_name="versions")
    filename = models.CharField(max_length=255)
    description = models.TextField(blank=True)
    parent = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, blank=True, related_name="children")
    source_session = models.UUIDField(null=True, blank=True, editable=False)
    source_step = models.CharField(max_length=60, blank=True, editable=False)
    signature = models.CharField(max_length=LONGEST_SIGNATURE, blank=True, editable=False)
    """The signature that a member chose; empty means the file's default."""
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = ModelVersionQuerySet.as_manager()

    class Meta:
        ordering = ("-number",)
        constraints = (models.UniqueConstraint(fields=("model", "number"), name="version_number_unique_in_model"),)
        indexes = (_pending_index("version_pending"),)

    def __str__(self) -> str:
        return f"{self.model.name} v{self.number}"

    def get_absolute_url(self) -> str:
        return reverse("models:version-detail", args=[self.model_id, self.number])


class ModelMetadata(models.Model):
    """The results of inspecting a version's file."""

    version = models.OneToOneField(ModelVersion, on_delete=models.CASCADE, related_name="metadata", primary_key=True)
    format = models.CharField(max_length=20)
    parameters = models.BigIntegerField()
    size_bytes = models.BigIntegerField()
    body = models.JSONField()
    """The `ModelSummary` without its long fields. Columns repeat what queries use: a new field needs no migration."""
    details = models.JSONField(default=dict)
    """Its long fields: the weights and the code included with the model."""

    objects = ModelMetadataQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.format} · {self.parameters:,} parameters"

    @classmethod
    def record(cls, version: ModelVersion, summary: ModelSummary) -> ModelMetadata:
        """Stores the inspection result for `version`, replacing any earlier one."""
        body = storable(summary.model_dump(mode="json"))
        body["producer"] = body["producer"][:LONGEST_WORDS]
        body["quantization"] = body["quantization"] and body["quantization"][:LONGEST_WORDS]
        details = {name: body.pop(name) for name in LONG_FIELDS}
        columns = {name: body[name] for name in ("format", "parameters", "size_bytes")}
        return cls.objects.update_or_create(version=version, defaults={**columns, "body": body, "details": details})[0]

    @property
    def format_label(self) -> str:
        """The format in words."""
        return format_spec(self.format).label

    @property
    def summary(self) -> ModelSummary:
        """The metadata as the value that agents use."""
        return ModelSummary.model_validate({**self.body, **self.details})


class Alias(models.Model):
    """A movable name, such as `production`, that points at one version of a model."""

    model = models.ForeignKey(RegisteredModel, on_delete=models.CASCADE, related_name="aliases")
    name = models.SlugField(max_length=60)
    # RESTRICT, not PROTECT: a version that an alias points at stays, but the whole model may go with both.
    version = models.ForeignKey(ModelVersion, on_delete=models.RESTRICT, related_name="aliases")
    protected = models.BooleanField(default=False)
    """Whether a move needs the approval of a second member (`apps.models.approvals`)."""

    objects = AliasQuerySet.as_manager()

    class Meta:
        ordering = ("name",)
        constraints = (models.UniqueConstraint(fields=("model", "name"), name="alias_unique_in_model"),)

    def __str__(self) -> str:
        return self.name


class AliasMove(models.Model):
    """One move of an alias. Moving back adds a new move that names the one it undoes, so the history only grows."""

    alias = models.ForeignKey(Alias, on_delete=models.CASCADE, related_name="moves")
    from_version = models.ForeignKey(ModelVersion, on_delete=models.SET_NULL, null=True, related_name="+")
    to_version = models.ForeignKey(ModelVersion, on_delete=models.SET_NULL, null=True, related_name="+")
    reason = models.TextField(blank=True)
    undoes = models.OneToOneField("self", on_delete=models.SET_NULL, null=True, blank=True, related_name="undone_by")
    moved_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    approved_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    """The second member, if the alias was protected."""
    moved_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ("-pk",)

    def __str__(self) -> str:
        return f"{self.alias}: {self.from_version or '—'} → {self.to_version or '—'}"


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


class DataSet(Inspected):
    """Examples for calibration and evaluation, labelled or not. `spec` describes how to read the file
    (`DatasetSpec`).
    """

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="datasets")
    name = models.CharField(max_length=120)
    description = models.TextField(blank=True)
    blob = models.ForeignKey(Blob, on_delete=models.PROTECT, related_name="datasets")
    filename = models.CharField(max_length=255)
    spec = models.JSONField(default=dict)
    summary = models.JSONField(null=True, blank=True, editable=False)
    """`DatasetSummary`, once inspected."""
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = DataSetQuerySet.as_manager()

    class Meta:
        ordering = ("name",)
        constraints = (models.UniqueConstraint(fields=("team", "name"), name="dataset_name_unique_in_team"),)
        indexes = (_pending_index("dataset_pending"),)

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("models:dataset-detail", args=[self.pk])

    @property
    def task_words(self) -> str:
        """The task as shown in lists."""
        return str(self.spec["task"]).replace("_", " ")

    @property
    def described(self) -> DatasetSummary:
        """The summary from inspection as the value that agents use. Only a ready data set has one."""
        return DatasetSummary.model_validate(self.summary)


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
