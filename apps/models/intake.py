"""The first look at bytes that arrived, in the web process: light, and without running anything.

It refuses what is plainly something else, sees whether code came with a model, reads what a plain ONNX file says of
itself, and hands the rest to a worker.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.core.files import File
from django.db.models.functions import Now
from dramatiq.errors import BrokerError
from redis.exceptions import RedisError

from apps.accounts.models import Team
from apps.agents.contracts.dataset_spec import DatasetKind, DatasetSpec
from apps.agents.contracts.errors.models import ModelWrongType
from apps.agents.contracts.formats import Format, uploads_said
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.files.onnx_wire import summarize
from apps.agents.files.sniffing import FileKind, code_members, format_of, sniff
from apps.models.errors import DataSetWrongType, FileNotGiven, UploadUnknown
from apps.models.models import Blob, DataSet, ModelVersion, Upload
from apps.models.storage import local_path, put_stream, upload_limit_bytes
from apps.models.uploads import finish
from apps.models.usage import check_room

DATA_KINDS: dict[DatasetKind, frozenset[FileKind]] = {
    DatasetKind.NPZ: frozenset({FileKind.NPZ}),
    DatasetKind.IMAGES: frozenset({FileKind.ZIP}),
    DatasetKind.TABLE: frozenset({FileKind.CSV, FileKind.TEXT, FileKind.PARQUET}),
    DatasetKind.TEXT: frozenset({FileKind.TEXT, FileKind.JSON, FileKind.CSV}),
}
"""A table of one column has no separator in it, and looks like plain text; a text whose first line has a comma looks
like a table."""
WANTED_DATA: dict[DatasetKind, str] = {
    DatasetKind.NPZ: "a NumPy archive (.npz)",
    DatasetKind.IMAGES: "a zip archive with a folder of images per class",
    DatasetKind.TABLE: "a table (.csv or .parquet)",
    DatasetKind.TEXT: "plain text (.txt) or one JSON object a line (.jsonl)",
}

LONGEST_FILENAME = 255
BROKER_AWAY = (RedisError, BrokerError, OSError)
"""The row is committed by then: its file is checked later, and its member need not send it again."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """Where the bytes of a new version or data set come from: a finished upload, or a file in a request."""

    upload: Upload | None
    file: File[bytes] | None

    def blob(self, team: Team) -> Blob:
        """The bytes in the store. Raises `FileNotGiven`, `UploadUnknown`, `StoreQuotaExceeded`, what storing raises."""
        if self.upload is not None:
            if self.upload.team_id != team.pk:
                raise UploadUnknown(field="upload")
            return finish(self.upload)
        if self.file is None:
            raise FileNotGiven(field="file")
        check_room(team, self.file.size)
        return put_stream(self.file.chunks(), limit_bytes=upload_limit_bytes())

    def filename(self, given: str) -> str:
        """The name to show: `given`, else the upload's or the file's own."""
        name = given or (self.upload.filename if self.upload else getattr(self.file, "name", ""))
        return safe_filename(name or "file")

    def used(self) -> None:
        """An upload serves once: of two requests that finish it at the same moment, the second finds it gone.

        Called inside the transaction that makes the row. Raises `UploadUnknown`.
        """
        if self.upload is None:
            return
        gone, _ = Upload.objects.filter(pk=self.upload.pk).delete()
        if not gone:
            raise UploadUnknown(field="upload")


def safe_filename(name: str) -> str:
    """The last part of a path, without control characters or quotes: it is shown and sent back in headers."""
    last = re.split(r"[/\\]", name)[-1]
    clean = re.sub(r'[\x00-\x1f\x7f"]', "", last).strip(" .")
    stem, dot, suffix = clean.rpartition(".")
    if len(clean) > LONGEST_FILENAME:
        clean = f"{stem[: LONGEST_FILENAME - len(suffix) - 1]}{dot}{suffix}"[:LONGEST_FILENAME]
    return clean or "file"


@dataclass(frozen=True)
class Glance:
    """What a first look at a model's bytes tells."""

    summary: ModelSummary | None
    """What a plain ONNX file says of itself; any other file only a worker opens."""
    code: tuple[str, ...]
    """The Python files that came with it, by name."""


def glance_at_model(blob: Blob) -> Glance:
    """Looks at the bytes of a model. Raises `ModelWrongType`, `ModelTruncated`, `ModelMalformed`."""
    with local_path(blob) as path:
        kind, _ = _recognized(path)
        summary = summarize(path) if kind is FileKind.ONNX else None
        return Glance(summary, tuple(code_members(path, kind)))


def format_in(blob: Blob) -> Format:
    """The format of a model by its bytes. Raises `ModelWrongType`."""
    with local_path(blob) as path:
        return _recognized(path)[1]


def _recognized(path: Path) -> tuple[FileKind, Format]:
    kind = sniff(path)
    found = format_of(kind)
    if found is None:
        raise ModelWrongType(field="file", found=kind.value, wanted=uploads_said())
    return kind, found


def refuse_wrong_data(blob: Blob, spec: DatasetSpec) -> None:
    """Raises `DataSetWrongType` when the bytes are plainly not of the kind that `spec` says."""
    with local_path(blob) as path:
        found = sniff(path)
    if found not in DATA_KINDS[spec.kind]:
        raise DataSetWrongType(field="file", found=found.value, wanted=WANTED_DATA[spec.kind])


# The actors are imported when first used: `django_dramatiq` sets the broker when the apps are ready, and an actor that
# is declared before belongs to no broker of ours.


def send_version(version_id: int, wait: timedelta | None = None) -> None:
    """Asks a worker to check a version, after `wait`."""
    from apps.models.actors import inspect_version

    ModelVersion.objects.filter(pk=version_id).update(check_asked_at=Now())
    try:
        _send(inspect_version, version_id, wait)
    except BROKER_AWAY:
        logger.exception("Version %s: the broker cannot be reached. The sweeper will send it.", version_id)


def send_dataset(dataset_id: int, wait: timedelta | None = None) -> None:
    """Asks a worker to check a data set, after `wait`."""
    from apps.models.actors import inspect_dataset

    DataSet.objects.filter(pk=dataset_id).update(check_asked_at=Now())
    try:
        _send(inspect_dataset, dataset_id, wait)
    except BROKER_AWAY:
        logger.exception("Data set %s: the broker cannot be reached. The sweeper will send it.", dataset_id)


def _send(actor: Any, row_id: int, wait: timedelta | None) -> None:
    if wait:
        actor.send_with_options(args=(row_id,), delay=int(wait.total_seconds() * 1000) + 100)
    else:
        actor.send(row_id)
