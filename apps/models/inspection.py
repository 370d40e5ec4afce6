"""Checking a file in a child process, and writing down what came of it. Runs in a worker.

The first answer counts: a message that is delivered twice does the work twice at worst and changes nothing. Trouble
that trying again may mend is raised, so that the message is tried again; when that was tried often enough, and for bugs
of ours, the file is refused with a code that says that it was not the file.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings

from apps.agents.errors import StepOutOfMemory
from apps.agents.job import Job
from apps.agents.process import JobFailed, Limits, run_job
from apps.agents.reports import DatasetSummary, ModelSummary
from apps.errors import UserError
from apps.models.errors import DataSetInspectionFailed, ModelInspectionFailed
from apps.models.intake import format_in
from apps.models.models import Blob, DataSet, ModelMetadata, ModelVersion, StoreSettings
from apps.models.storage import local_path
from apps.models.texts import keepable

logger = logging.getLogger(__name__)

TIME_LIMIT_S = 30 * 60
INSPECT_MODEL = "apps.agents.handlers.inspection:inspect_model"
INSPECT_DATASET = "apps.agents.handlers.datasets:inspect_dataset"


class TryAgain(RuntimeError):
    """The check could not be made now, for a reason that may pass."""


def inspect_version(version_id: int) -> None:
    """Checks a pending version: it becomes ready, with its metadata, or refused, with the reason. Raises `TryAgain`."""
    version = ModelVersion.objects.pending().select_related("blob", "model").filter(pk=version_id).first()
    if version is None:
        return
    limit_bytes = StoreSettings.current().max_unpacked_bytes
    with _settled(version, ModelInspectionFailed()):
        chosen = {"signature": version.signature} if version.signature else {}
        arguments = {"format": format_in(version.blob), "limit_bytes": limit_bytes, **chosen}
        body = _checked(version.blob, "model", INSPECT_MODEL, arguments)
        ModelMetadata.record(version, ModelSummary.model_validate(body))
        version.accept()


def inspect_dataset(dataset_id: int) -> None:
    """Checks a pending data set: it becomes ready, with its summary, or refused, with the reason. Raises `TryAgain`."""
    dataset = DataSet.objects.pending().select_related("blob").filter(pk=dataset_id).first()
    if dataset is None:
        return
    with _settled(dataset, DataSetInspectionFailed()):
        body = _checked(dataset.blob, "dataset", INSPECT_DATASET, {"spec": dataset.spec})
        dataset.summary = keepable(DatasetSummary.model_validate(body).model_dump(mode="json"))
        dataset.save(update_fields=["summary"])
        dataset.accept()


def give_up_on_version(version_id: int) -> None:
    """Refuses a version whose check could not be made however often it was tried."""
    ours = ModelInspectionFailed()
    for version in ModelVersion.objects.filter(pk=version_id):
        version.refuse(ours.code, ours.message)


def give_up_on_dataset(dataset_id: int) -> None:
    """Refuses a data set whose check could not be made however often it was tried."""
    ours = DataSetInspectionFailed()
    for dataset in DataSet.objects.filter(pk=dataset_id):
        dataset.refuse(ours.code, ours.message)


@contextmanager
def _settled(row: ModelVersion | DataSet, ours: UserError) -> Iterator[None]:
    """Turns a check that failed into a refusal of `row`; `ours` says that it was not the file.

    What else is raised (a database or a store that is away) passes through, and the message is tried again.
    """
    try:
        yield
    except UserError as error:
        row.refuse(error.code, error.message)
    except JobFailed as error:
        failure = error.failure
        # A file that needs more memory than there is needs it the next time as well.
        if failure.transient and failure.code != StepOutOfMemory.code:
            raise TryAgain(failure.message) from error
        if failure.expected:
            # The child knows the file by its digest, its member by its name.
            row.refuse(failure.code, failure.message.replace(row.blob_id, row.filename))
        else:
            kind = type(row).__name__
            logger.error("The check of %s %s broke: %s\n%s", kind, row.pk, failure.message, failure.traceback)
            row.refuse(ours.code, ours.message)


def _checked(blob: Blob, role: str, handler: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The body of the check's result. Raises `JobFailed`."""
    with local_path(blob) as path, _scratch() as scratch:
        job = Job(handler=handler, scratch=scratch, inputs={role: path}, arguments=arguments)
        return run_job(job, on_event=_ignore, should_stop=_never, limits=_limits()).body


@contextmanager
def _scratch() -> Iterator[Path]:
    parent = _scratch_parent()
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="inspect-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned_scratch() -> None:
    """Removes the folders of checks on this machine whose worker died before it could."""
    oldest = time.time() - 2 * TIME_LIMIT_S
    for folder in _scratch_parent().glob("inspect-*"):
        if folder.stat().st_mtime < oldest:
            shutil.rmtree(folder, ignore_errors=True)


def _scratch_parent() -> Path:
    return Path(settings.LATHE.var_dir) / "scratch"


def _limits() -> Limits:
    return Limits(time_s=TIME_LIMIT_S, memory_bytes=settings.LATHE.step_memory_bytes)


def _ignore(event: object) -> None:
    """A check has no page of its own that would show its progress."""


def _never() -> bool:
    """A check is not cancelled: deleting the row makes its answer void."""
    return False
