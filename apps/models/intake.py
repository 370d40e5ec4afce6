"""The first inspection of an uploaded file, in the web process. It is fast and runs nothing.

It refuses files that are plainly of another kind, detects code in a model, reads the metadata of a plain ONNX file, and
leaves everything else to a worker.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from django.core.files import File

from apps.accounts.models import Team
from apps.agents.contracts.dataset_spec import DatasetKind, DatasetSpec
from apps.agents.contracts.errors.models import ModelWrongType
from apps.agents.contracts.formats import Format, uploads_in_words
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.files.onnx_wire import summarize
from apps.agents.files.sniffing import FileKind, code_members, format_of, sniff
from apps.models import tallies
from apps.models.errors import DataSetWrongType, FileNotGiven, UploadUnknown
from apps.models.models import Blob, Upload
from apps.models.storage import local_path, put_stream, upload_limit_bytes
from apps.models.uploads import finish
from apps.models.usage import check_room

DATA_KINDS: dict[DatasetKind, frozenset[FileKind]] = {
    DatasetKind.NPZ: frozenset({FileKind.NPZ}),
    DatasetKind.IMAGES: frozenset({FileKind.ZIP}),
    DatasetKind.TABLE: frozenset({FileKind.CSV, FileKind.TEXT, FileKind.PARQUET}),
    DatasetKind.TEXT: frozenset({FileKind.TEXT, FileKind.JSON, FileKind.CSV}),
}
"""A table with one column has no separator and looks like plain text. A text whose first line has a comma looks like a
table."""
WANTED_DATA: dict[DatasetKind, str] = {
    DatasetKind.NPZ: "a NumPy archive (.npz)",
    DatasetKind.IMAGES: "a zip archive with a folder of images per class",
    DatasetKind.TABLE: "a table (.csv or .parquet)",
    DatasetKind.TEXT: "plain text (.txt) or one JSON object per line (.jsonl)",
}

LONGEST_FILENAME = 255


@dataclass(frozen=True)
class Source:
    """Where the bytes of a new version or data set come from: a finished upload, or a file in a request."""

    upload: Upload | None
    file: File[bytes] | None

    def blob(self, team: Team) -> Blob:
        """The bytes in the store. Raises `FileNotGiven`, `UploadUnknown`, `StoreQuotaExceeded`, and the errors of
        storing.
        """
        if self.upload is not None:
            if self.upload.team_id != team.pk:
                raise UploadUnknown(field="upload")
            return finish(self.upload)
        if self.file is None:
            raise FileNotGiven(field="file")
        check_room(team, self.file.size)
        blob = put_stream(self.file.chunks(), limit_bytes=upload_limit_bytes())
        tallies.UPLOADS.count("request", measured=self.file.size)
        return blob

    def filename(self, given: str) -> str:
        """The name to show: `given`, else the upload's or the file's own."""
        name = given or (self.upload.filename if self.upload else getattr(self.file, "name", ""))
        return safe_filename(name or "file")

    def used(self) -> None:
        """Deletes the upload, which can be used only once. Of two concurrent requests the second fails.

        Called inside the transaction that creates the row. Raises `UploadUnknown`.
        """
        if self.upload is None:
            return
        gone, _ = Upload.objects.filter(pk=self.upload.pk).delete()
        if not gone:
            raise UploadUnknown(field="upload")


def safe_filename(name: str) -> str:
    """The last part of a path, without control characters or quotes: it is displayed, and sent in headers."""
    last = re.split(r"[/\\]", name)[-1]
    clean = re.sub(r'[\x00-\x1f\x7f"]', "", last).strip(" .")
    stem, dot, suffix = clean.rpartition(".")
    if len(clean) > LONGEST_FILENAME:
        clean = f"{stem[: LONGEST_FILENAME - len(suffix) - 1]}{dot}{suffix}"[:LONGEST_FILENAME]
    return clean or "file"


@dataclass(frozen=True)
class Glance:
    """The result of the first inspection of a model."""

    summary: ModelSummary | None
    """The metadata of a plain ONNX file. Only a worker opens any other file."""
    code: tuple[str, ...]
    """The names of the Python files in it."""


def glance_at_model(blob: Blob) -> Glance:
    """Inspects the bytes of a model. Raises `ModelWrongType`, `ModelTruncated`, `ModelMalformed`."""
    with local_path(blob) as path:
        kind, _ = _recognized(path)
        summary = summarize(path) if kind is FileKind.ONNX else None
        return Glance(summary, tuple(code_members(path, kind)))


def format_in(blob: Blob) -> Format:
    """The format of a model, detected from its bytes. Raises `ModelWrongType`."""
    with local_path(blob) as path:
        return _recognized(path)[1]


def _recognized(path: Path) -> tuple[FileKind, Format]:
    kind = sniff(path)
    found = format_of(kind)
    if found is None:
        raise ModelWrongType(field="file", found=kind.value, wanted=uploads_in_words())
    return kind, found


def refuse_wrong_data(blob: Blob, spec: DatasetSpec) -> None:
    """Raises `DataSetWrongType` if the bytes are plainly not of the kind in `spec`."""
    with local_path(blob) as path:
        found = sniff(path)
    if found not in DATA_KINDS[spec.kind]:
        raise DataSetWrongType(field="file", found=found.value, wanted=WANTED_DATA[spec.kind])
