"""Services of the store: register models, add versions, describe them, delete them.

Pages, API and commands call these. Data sets are in `datasets`, uploads in `uploads`, aliases in `aliases`, signatures
in `signatures`; this module re-exports them, so that one import is enough.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn
from uuid import UUID

from django.core.files import File
from django.db import IntegrityError, transaction
from django.db.models import Max, ProtectedError, RestrictedError
from django.utils.translation import gettext as _

from apps.accounts.models import Membership, Role, Team, User
from apps.accounts.services import owners_of, require_role
from apps.agents.contracts.reports.model import ModelSummary
from apps.audit import trail
from apps.models import dependents, intake, messages
from apps.models.aliases import can_undo, move_alias, undo_alias_move
from apps.models.approvals import move_or_ask, outdate_of, undo_or_ask
from apps.models.datasets import add_dataset, delete_dataset, describe_dataset
from apps.models.errors import (
    CodeNotAccepted,
    CodeNotAllowed,
    ModelInUse,
    ModelNameMissing,
    ModelNameTaken,
    ReadmeTooLong,
    TagsInvalid,
    VersionElsewhere,
    VersionInUse,
)
from apps.models.models import (
    Blob,
    InspectionStatus,
    ModelMetadata,
    ModelVersion,
    RegisteredModel,
    StoreSettings,
    Upload,
)
from apps.models.signatures import choose_signature
from apps.models.uploads import abandon, append_chunk, begin_upload, finish
from apps.outages import require_queue
from apps.texts import storable

__all__ = [
    "abandon",
    "add_dataset",
    "add_version",
    "adopt_artifact",
    "append_chunk",
    "begin_upload",
    "can_undo",
    "choose_signature",
    "delete_dataset",
    "delete_model",
    "delete_version",
    "describe_dataset",
    "describe_model",
    "describe_version",
    "finish",
    "may_upload_code",
    "move_alias",
    "move_or_ask",
    "register_model",
    "undo_alias_move",
    "undo_or_ask",
]

LONGEST_NAME = 120
LONGEST_README = 50_000
"""In characters."""
MOST_TAGS = 20
LONGEST_TAG = 40
MOST_NAMED = 20
"""How many of an upload's code files the audit trail names."""


# --- models ----------------------------------------------------------------------------------------------------------


def register_model(
    team: Team, user: User, name: str, description: str = "", tags: Iterable[str] = ()
) -> RegisteredModel:
    """A new model without versions. Raises `PermissionDenied`, `ModelNameMissing`, `ModelNameTaken`, `TagsInvalid`."""
    require_role(user, team, Role.ENGINEER)
    model = RegisteredModel(team=team, created_by=user, description=description.strip())
    model.name, model.tags = _model_name(name), clean_tags(tags)
    with transaction.atomic():
        _saved_model(model)
        trail.record("model.registered", actor=user, team=team, subject=model.name)
    return model


def describe_model(
    model: RegisteredModel,
    user: User,
    *,
    name: str | None = None,
    description: str | None = None,
    readme: str | None = None,
    tags: Iterable[str] | None = None,
) -> RegisteredModel:
    """Changes the given fields and leaves the rest. Raises as `register_model`, and `ReadmeTooLong`."""
    require_role(user, model.team, Role.ENGINEER)
    fields = ("name", "description", "readme", "tags")
    before = {field: getattr(model, field) for field in fields}
    if name is not None:
        model.name = _model_name(name)
    if description is not None:
        model.description = description.strip()
    if readme is not None:
        model.readme = _readme(readme)
    if tags is not None:
        model.tags = clean_tags(tags)
    with transaction.atomic():
        _saved_model(model)
        trail.record_changes("model.described", user, model.team, model.name, before, model)
    return model


def _model_name(name: str) -> str:
    clean = " ".join(name.split())
    if not 0 < len(clean) <= LONGEST_NAME:
        raise ModelNameMissing(field="name", longest=LONGEST_NAME)
    return clean


def _readme(text: str) -> str:
    """The text with line ends of one kind. Raises `ReadmeTooLong`."""
    clean = str(storable(text.replace("\r\n", "\n").strip()))
    if len(clean) > LONGEST_README:
        raise ReadmeTooLong(field="readme", characters=len(clean), longest=LONGEST_README)
    return clean


def _saved_model(model: RegisteredModel) -> RegisteredModel:
    try:
        with transaction.atomic():
            model.save()
    except IntegrityError as error:
        raise ModelNameTaken(field="name", name=model.name) from error
    return model


def clean_tags(tags: Iterable[str]) -> list[str]:
    """The tags in lower case and alphabetical order, without duplicates. Raises `TagsInvalid`."""
    limits = {"most": MOST_TAGS, "longest": LONGEST_TAG}
    clean = sorted({" ".join(tag.lower().split()) for tag in tags} - {""})
    if len(clean) > MOST_TAGS:
        raise TagsInvalid(field="tags", reason=_("{count} tags were given.").format(count=len(clean)), **limits)
    for tag in clean:
        if len(tag) > LONGEST_TAG or "," in tag:
            raise TagsInvalid(field="tags", reason=_("“{tag}” is not a valid tag.").format(tag=tag), **limits)
    return clean


def delete_model(model: RegisteredModel, user: User, *, with_sessions: bool = False) -> None:
    """Removes a model with its versions and aliases, and its sessions too if `with_sessions` is true.

    Raises `PermissionDenied`, `ModelInUse` while sessions use it, and `session.move_refused` for a running session.
    """
    require_role(user, model.team, Role.ENGINEER)
    try:
        with transaction.atomic():
            name, team = model.name, model.team
            if with_sessions:
                dependents.remove(user, versions=model.versions.all())
            outdate_of(list(model.versions.all()), user, f"{name} was deleted.")
            model.delete()
            trail.record("model.deleted", actor=user, team=team, subject=name)
    except (ProtectedError, RestrictedError) as error:
        raise ModelInUse(name=model.name, users=_users(error)) from error


# --- versions --------------------------------------------------------------------------------------------------------


def add_version(
    model: RegisteredModel,
    user: User,
    *,
    upload: Upload | None = None,
    file: File[bytes] | None = None,
    filename: str = "",
    description: str = "",
    parent: ModelVersion | None = None,
    source_session: UUID | None = None,
    source_step: str = "",
) -> ModelVersion:
    """A new version of `model`, from a finished `upload` or a `file`. It is pending until a worker has checked it.

    Whatever a first inspection can refuse is refused here, before the version exists: mainly `ModelWrongType`, and code
    from members who may not upload it (`CodeNotAllowed`, `CodeNotAccepted`). Raises `PermissionDenied`, `FileNotGiven`,
    `UploadTooLarge`, `UploadIncomplete`, `UploadUnknown`, `VersionElsewhere` and `QueueAway` too.
    """
    member = require_role(user, model.team, Role.ENGINEER)
    if parent is not None and parent.model_id != model.pk:
        raise VersionElsewhere(field="parent", version=parent, model=model.name)
    require_queue()
    source = intake.Source(upload, file)
    blob = source.blob(model.team)
    name = source.filename(filename)
    glance = intake.glance_at_model(blob)
    if glance.code and not may_upload_code(member):
        _refuse_code(member, glance.code)
    with transaction.atomic():
        source.used()
        version = _next_version(
            model,
            blob=blob,
            filename=name,
            description=description.strip(),
            parent=parent,
            source_session=source_session,
            source_step=source_step,
            created_by=user,
        )
        if glance.summary is not None:
            ModelMetadata.record(version, glance.summary)
        transaction.on_commit(lambda: messages.send_version(version.pk))
        data: dict[str, Any] = {"sha256": blob.sha256, "filename": name, "code": list(glance.code[:MOST_NAMED])}
        data |= {"model": model.pk, "number": version.number, "path": version.get_absolute_url(), "user": user.pk}
        trail.record("version.added", actor=user, team=model.team, subject=str(version), data=data)
    return version


def may_upload_code(member: Membership) -> bool:
    """Whether `member` may upload models with code."""
    return member.may_upload_code and StoreSettings.current().accept_code


def _refuse_code(member: Membership, code: tuple[str, ...]) -> NoReturn:
    """Raises `CodeNotAccepted` or `CodeNotAllowed`. The message names those who can change that."""
    more = _("{first} and {count} more").format(first=code[0], count=len(code) - 1)
    first = code[0] if len(code) == 1 else more
    if not StoreSettings.current().accept_code:
        raise CodeNotAccepted(field="file", member=first)
    owners = ", ".join(str(owner.user) for owner in owners_of(member.team))
    raise CodeNotAllowed(field="file", member=first, team=member.team.name, owners=owners)


def adopt_artifact(
    model: RegisteredModel,
    *,
    blob: Blob,
    filename: str,
    parent: ModelVersion,
    source_session: UUID,
    source_step: str,
    user: User | None = None,
    description: str = "",
    summary: ModelSummary | None = None,
) -> ModelVersion:
    """Adds a session's artifact as a version. It is ready at once, because the session has checked and measured it.

    A second call with the same session and bytes returns the same version. `summary` is read from the file if not
    given. A file that only a worker can read (a zip) waits for its checks as usual; this may raise `QueueAway`.
    """
    known = model.versions.filter(source_session=source_session, blob=blob).first()
    if known is not None:
        return known
    summary = summary or intake.glance_at_model(blob).summary
    if summary is None:
        require_queue()
    with transaction.atomic():
        version = _next_version(
            model,
            blob=blob,
            filename=intake.safe_filename(filename),
            description=description,
            parent=parent,
            source_session=source_session,
            source_step=source_step,
            created_by=user,
            status=InspectionStatus.PENDING if summary is None else InspectionStatus.READY,
        )
        if summary is None:
            transaction.on_commit(lambda: messages.send_version(version.pk))
        else:
            ModelMetadata.record(version, summary)
    return version


def _next_version(model: RegisteredModel, **fields: Any) -> ModelVersion:
    """A version with the next number. The model's row is locked, so two concurrent versions get different numbers."""
    RegisteredModel.objects.select_for_update().get(pk=model.pk)
    last = model.versions.aggregate(last=Max("number"))["last"] or 0
    return ModelVersion.objects.create(model=model, number=last + 1, **fields)


def describe_version(version: ModelVersion, user: User, *, description: str) -> ModelVersion:
    require_role(user, version.model.team, Role.ENGINEER)
    # Text from pages arrives unfiltered, and PostgreSQL cannot store a NUL.
    before = {"description": version.description}
    version.description = description.replace("\x00", "").strip()
    with transaction.atomic():
        version.save(update_fields=["description"])
        trail.record_changes("version.described", user, version.model.team, str(version), before, version)
    return version


def delete_version(version: ModelVersion, user: User, *, with_sessions: bool = False) -> None:
    """Removes a version, and its sessions too if `with_sessions` is true.

    Raises `PermissionDenied`, and `VersionInUse` while an alias or a session uses it.
    """
    require_role(user, version.model.team, Role.ENGINEER)
    try:
        with transaction.atomic():
            subject = str(version)
            if with_sessions:
                dependents.remove(user, versions=[version])
            outdate_of([version], user, f"Version {version.number} was deleted.")
            version.delete()
            trail.record("version.deleted", actor=user, team=version.model.team, subject=subject)
    except (ProtectedError, RestrictedError) as error:
        raise VersionInUse(version=version, users=_users(error)) from error


def _users(error: ProtectedError | RestrictedError) -> str:
    """The rows that protect another from deletion, by kind and name: “the alias production”, “the session … and 2
    more”.
    """
    rows = sorted(getattr(error, "protected_objects", None) or error.restricted_objects, key=str)  # type: ignore[union-attr]
    first = _("the {kind} {name}").format(kind=rows[0]._meta.verbose_name, name=rows[0])
    return first if len(rows) == 1 else _("{first} and {count} more").format(first=first, count=len(rows) - 1)
