"""Checks a file in a child process and records the result. Runs in a worker.

A check is claimed with a lease (`apps.models.checks`), so a message that is delivered twice does the work only once,
and the first result counts. If the process was killed, `TryAgain` is raised and the check is repeated. After too many
attempts, and for bugs in Lathe, the file is refused with a code that says the file was not at fault. If the
infrastructure failed (the disk, the store, the network), the file stays pending until it can be checked.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings

from apps.agents.contracts.errors.steps import StepOutOfMemory
from apps.agents.contracts.faults import Fault
from apps.agents.contracts.job import Job, JobFailure
from apps.agents.contracts.job_arguments import Arguments, InspectDatasetArguments, InspectModelArguments
from apps.agents.contracts.reports.dataset import DatasetSummary
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.sandbox.process import JobCancelled, JobFailed, Limits, run_job
from apps.errors import UserError
from apps.models import checks, limits
from apps.models.errors import DataSetInspectionFailed, ModelInspectionFailed
from apps.models.intake import format_in
from apps.models.models import DataSet, ModelMetadata, ModelVersion, StoreSettings
from apps.models.storage import local_path
from apps.models.timing import timing
from apps.models.trouble import trouble_of
from apps.texts import storable

logger = logging.getLogger(__name__)

TIME_LIMIT_S = 30 * 60
MOST_CRASHES = 2
"""If a library has crashed on a file twice, it will crash again."""
INSPECT_MODEL = "apps.agents.handlers.inspection:inspect_model"
INSPECT_DATASET = "apps.agents.handlers.datasets:inspect_dataset"


class TryAgain(RuntimeError):
    """The check failed for a reason that may be temporary."""


def inspect_version(version_id: int) -> None:
    """Checks a pending version: it becomes ready, with its metadata, or refused, with the reason. Raises `TryAgain`."""
    version = ModelVersion.objects.pending().select_related("blob", "model").filter(pk=version_id).first()
    if version is None or not version.take_check(timing().lease):
        return
    limit_bytes = StoreSettings.current().max_unpacked_bytes
    with _settled(version, ModelInspectionFailed()):
        _fetch(version)
        arguments = InspectModelArguments(
            format=format_in(version.blob), limit_bytes=limit_bytes, signature=version.signature or None
        )
        body = _checked(version, "model", INSPECT_MODEL, arguments)
        ModelMetadata.record(version, ModelSummary.model_validate(body))
        version.accept()


def inspect_dataset(dataset_id: int) -> None:
    """Checks a pending data set: it becomes ready, with its summary, or refused, with the reason. Raises `TryAgain`."""
    dataset = DataSet.objects.pending().select_related("blob").filter(pk=dataset_id).first()
    if dataset is None or not dataset.take_check(timing().lease):
        return
    with _settled(dataset, DataSetInspectionFailed()):
        _fetch(dataset)
        arguments = InspectDatasetArguments.model_validate({"spec": dataset.spec})
        body = _checked(dataset, "dataset", INSPECT_DATASET, arguments)
        dataset.summary = storable(DatasetSummary.model_validate(body).model_dump(mode="json"))
        dataset.save(update_fields=["summary"])
        dataset.accept()


def give_up_on_version(version_id: int) -> None:
    """Refuses a version whose check failed at every attempt."""
    ours = ModelInspectionFailed()
    for version in ModelVersion.objects.filter(pk=version_id):
        version.refuse(ours.code, ours.message)


def give_up_on_dataset(dataset_id: int) -> None:
    """Refuses a data set whose check failed at every attempt."""
    ours = DataSetInspectionFailed()
    for dataset in DataSet.objects.filter(pk=dataset_id):
        dataset.refuse(ours.code, ours.message)


@contextmanager
def _settled(row: ModelVersion | DataSet, ours: UserError) -> Iterator[None]:
    """Turns a failed check into a refusal of `row`. `ours` is the error to use if the file was not at fault."""
    try:
        yield
    except JobCancelled:
        logger.warning("The check of %s was taken over by another run.", row)
    except UserError as error:
        row.refuse(error.code, error.message)
    except JobFailed as error:
        failure = error.failure
        if failure.fault is Fault.INFRASTRUCTURE:
            logger.warning("The check of %s is postponed: %s", row, failure.message)
            checks.put_off(row)
        elif _worth_another_try(row, failure):
            row.put_off_check()
            raise TryAgain(failure.message) from error
        elif failure.expected:
            # The child knows only the file's digest; the member knows its name.
            row.refuse(failure.code, failure.message.replace(row.blob_id, row.filename))
        else:
            kind = type(row).__name__
            logger.error("The check of %s %s broke: %s\n%s", kind, row.pk, failure.message, failure.traceback)
            row.refuse(ours.code, ours.message)
    except Exception as error:
        if trouble_of(error) is None:
            row.put_off_check()
            raise
        logger.warning("The check of %s is postponed.", row, exc_info=True)
        checks.put_off(row)


def _worth_another_try(row: ModelVersion | DataSet, failure: JobFailure) -> bool:
    """Whether a retry makes sense. A file that needs too much memory will need it again, and repeated crashes will
    recur.
    """
    if failure.fault is Fault.CRASH and row.check_attempts >= MOST_CRASHES:
        return False
    return failure.transient and failure.code != StepOutOfMemory.code


def _fetch(row: checks.Row) -> None:
    """Fetches and verifies the bytes, however long that takes."""
    with checks.kept_alive(row), local_path(row.blob):
        return


def _checked(row: checks.Row, role: str, handler: str, arguments: Arguments) -> dict[str, Any]:
    """The body of the check's result. Raises `JobFailed`, and `JobCancelled` if another run has taken
    the check over.
    """
    with local_path(row.blob) as path, _scratch(row) as scratch:
        job = Job(
            handler=handler,
            scratch=scratch,
            inputs={role: path},
            arguments=arguments.plain(),
            frameworks=arguments.frameworks,
        )
        return run_job(job, on_event=_ignore, should_stop=checks.Lease(row).lost, limits=_limits()).body


@contextmanager
def _scratch(row: checks.Row) -> Iterator[Path]:
    """An empty folder for the run that has claimed the check of `row`."""
    assert row.check_claim is not None
    folder = _scratch_parent() / f"inspect-{row.check_claim.hex}"
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned_scratch() -> int:
    """Removes this machine's folders of abandoned checks. Returns their number."""
    abandoned = [folder for folder in _scratch_parent().glob("inspect-*") if not _is_at_work(folder)]
    for folder in abandoned:
        shutil.rmtree(folder, ignore_errors=True)
    return len(abandoned)


def _is_at_work(folder: Path) -> bool:
    try:
        claim = UUID(folder.name.removeprefix("inspect-"))
    except ValueError:
        return False
    return any(rows.pending().filter(check_claim=claim).exists() for rows in (ModelVersion.objects, DataSet.objects))


def _scratch_parent() -> Path:
    return Path(settings.LATHE.var_dir) / "scratch"


def _limits() -> Limits:
    return Limits(
        time_s=TIME_LIMIT_S,
        memory_bytes=limits.memory_bytes(),
        file_bytes=settings.LATHE.largest_step_file_bytes,
        sandbox=settings.LATHE.sandbox,
    )


def _ignore(event: object) -> None:
    """Ignores progress, because no page shows the progress of a check."""
