"""Services for data sets: add, describe, delete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.files import File
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError, RestrictedError
from pydantic import ValidationError

from apps.accounts.models import Role, Team, User
from apps.accounts.services import require_role
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.audit import trail
from apps.models import dependents, intake, messages
from apps.models.errors import DataSetInUse, DataSetNameMissing, DataSetNameTaken, DataSetSpecInvalid
from apps.models.models import DataSet, Upload
from apps.outages import require_queue

LONGEST_NAME = 120


def add_dataset(
    team: Team,
    user: User,
    name: str,
    spec: DatasetSpec | Mapping[str, Any],
    *,
    upload: Upload | None = None,
    file: File[bytes] | None = None,
    filename: str = "",
    description: str = "",
) -> DataSet:
    """A new data set from a finished `upload` or a `file`, read according to `spec`. Pending until a worker has checked
    it.

    Raises `PermissionDenied`, `DataSetNameMissing`, `DataSetNameTaken`, `DataSetSpecInvalid`, `DataSetWrongType`,
    `FileNotGiven`, `UploadTooLarge`, `UploadIncomplete`, `UploadUnknown`, `QueueAway`.
    """
    require_role(user, team, Role.ENGINEER)
    clean = _dataset_name(name)
    read_as = validated_spec(spec)
    if team.datasets.filter(name=clean).exists():
        raise DataSetNameTaken(field="name", name=clean)  # before a large file is stored in vain
    require_queue()
    source = intake.Source(upload, file)
    blob = source.blob(team)
    intake.refuse_wrong_data(blob, read_as)
    dataset = DataSet(
        team=team, name=clean, description=description.strip(), blob=blob, filename=source.filename(filename)
    )
    dataset.spec, dataset.created_by = read_as.model_dump(mode="json"), user
    try:
        with transaction.atomic():
            source.used()
            dataset.save()
            transaction.on_commit(lambda: messages.send_dataset(dataset.pk))
            trail.record("dataset.added", actor=user, team=team, subject=clean, data={"sha256": blob.sha256})
    except IntegrityError as error:
        raise DataSetNameTaken(field="name", name=clean) from error
    return dataset


def describe_dataset(
    dataset: DataSet, user: User, *, name: str | None = None, description: str | None = None
) -> DataSet:
    """Changes the given fields. The file and its `spec` stay, because reports depend on them."""
    require_role(user, dataset.team, Role.ENGINEER)
    before = {"name": dataset.name, "description": dataset.description}
    if name is not None:
        dataset.name = _dataset_name(name)
    if description is not None:
        dataset.description = description.strip()
    try:
        with transaction.atomic():
            dataset.save(update_fields=["name", "description"])
            trail.record_changes("dataset.described", user, dataset.team, dataset.name, before, dataset)
    except IntegrityError as error:
        raise DataSetNameTaken(field="name", name=dataset.name) from error
    return dataset


def validated_spec(spec: DatasetSpec | Mapping[str, Any]) -> DatasetSpec:
    """`spec` as a value. Raises `DataSetSpecInvalid`, which names the invalid field under `spec`."""
    if isinstance(spec, DatasetSpec):
        return spec
    try:
        return DatasetSpec.model_validate(spec)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(["spec", *map(str, first["loc"])])
        reason = first["msg"].removeprefix("Value error, ")
        where = f"{'.'.join(map(str, first['loc']))}: " if first["loc"] else ""
        raise DataSetSpecInvalid(field=field, reason=f"{where}{reason}") from error


def _dataset_name(name: str) -> str:
    clean = " ".join(name.split())
    if not 0 < len(clean) <= LONGEST_NAME:
        raise DataSetNameMissing(field="name", longest=LONGEST_NAME)
    return clean


def delete_dataset(dataset: DataSet, user: User, *, with_sessions: bool = False) -> None:
    """Removes a data set, and its sessions too if `with_sessions` is true.

    Raises `PermissionDenied`, and `DataSetInUse` while sessions use it.
    """
    require_role(user, dataset.team, Role.ENGINEER)
    try:
        with transaction.atomic():
            if with_sessions:
                dependents.remove(user, datasets=[dataset])
            dataset.delete()
            trail.record("dataset.deleted", actor=user, team=dataset.team, subject=dataset.name)
    except (ProtectedError, RestrictedError) as error:
        raise DataSetInUse(name=dataset.name) from error
