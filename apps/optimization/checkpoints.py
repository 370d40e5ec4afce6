"""Checkpoints: what a step's job keeps while it runs, so that another attempt can go on from there.

A checkpoint belongs to the identity of its job: what is asked for and the bytes it starts from. An attempt with smaller
batches has the same identity. A step that is asked anew has none of the checkpoints of before.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from django.db import Error as DatabaseTrouble
from django.db import close_old_connections, connections

from apps.agents.contracts.job import CheckpointKept, Job
from apps.agents.sandbox.handed import Handed
from apps.agents.sandbox.process import JobCancelled, JobFailed
from apps.models.errors import StoreFileMissing
from apps.models.models import Blob
from apps.models.storage import local_path, put_stream, read_chunks
from apps.models.timing import timing
from apps.models.trouble import trouble_of
from apps.optimization import workers
from apps.optimization.models import SessionStep

logger = logging.getLogger(__name__)

VARYING = frozenset({"batch_divisor"})
"""Arguments that may differ between the attempts of one step."""


def ready(step: SessionStep, job: Job, blobs: Mapping[str, Blob], files: ExitStack) -> Job:
    """`job` with its identity, and with the checkpoint that an earlier attempt kept, which stays in place in `files`.

    `blobs` are the stored files that it reads, by role.
    """
    job = job.model_copy(update={"identity": identity_of(job, blobs)})
    path = _at_hand(step, job.identity, files)
    return job if path is None else job.model_copy(update={"inputs": {**job.inputs, "checkpoint": path}})


def identity_of(job: Job, blobs: Mapping[str, Blob]) -> str:
    """SHA-256 of all that decides what the job makes, as 64 hexadecimal digits."""
    asked = {
        "handler": job.handler,
        "arguments": {name: value for name, value in job.arguments.items() if name not in VARYING},
        "seed": job.seed,
        "files": {role: blob.sha256 for role, blob in blobs.items()},
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def _at_hand(step: SessionStep, identity: str, files: ExitStack) -> Path | None:
    """The file of the step's checkpoint. Where it cannot be used, the session's log says why."""
    if step.checkpoint is None:
        return None
    if step.checkpoint_of != identity:
        _tell(step, "warning", "The checkpoint of an earlier attempt is of another request. The step starts anew.")
        return None
    try:
        path = files.enter_context(local_path(step.checkpoint))
    except StoreFileMissing as error:
        _tell(step, "warning", f"The step starts anew, because its checkpoint cannot be read. {error.message}")
        return None
    _tell(step, "info", f"Attempt {step.attempt} goes on from the checkpoint of an earlier one.")
    return path


def _tell(step: SessionStep, level: str, message: str) -> None:
    step.session.log.create(step_key=step.key, level=level, message=message)


@contextmanager
def keeping(step: SessionStep, job: Job, lost: threading.Event) -> Iterator[Keeper]:
    """A keeper for the time in which `job` runs. At the end it stores what still waits if another attempt follows."""
    keeper = Keeper(step, job, lost)
    needed = False
    try:
        yield keeper
    except Exception as error:
        needed = _another_follows(error)
        raise
    finally:
        keeper.close(needed=needed)


def _another_follows(error: Exception) -> bool:
    """Whether a job that ended so is tried again."""
    match error:
        case JobFailed():
            return error.transient
        case JobCancelled():
            return workers.stopping.is_set()
    return trouble_of(error) is not None


class Keeper:
    """Stores the checkpoints of one attempt in a thread of its own, so that its child never waits for the store.

    While one is being stored, only the last of those that follow waits. `lost` is set once the claim is lost.
    """

    def __init__(self, step: SessionStep, job: Job, lost: threading.Event) -> None:
        self._step, self._job, self._lost = step, job, lost
        self._changed = threading.Condition()
        self._waiting: Handed | None = None
        self._closed = self._failed = False
        self._thread: threading.Thread | None = None

    def take(self, kept: CheckpointKept) -> None:
        """Stores a file of the child soon, and removes it then. Raises `ValueError` for what is not its file."""
        self._replace(Handed(self._job, kept.path))
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=f"checkpoints-{self._step.pk}", daemon=True)
            self._thread.start()

    def close(self, *, needed: bool) -> None:
        """Ends the thread, after it has stored what waits if that is `needed`."""
        if not needed:
            self._replace(None)
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _replace(self, file: Handed | None) -> None:
        with self._changed:
            superseded, self._waiting = self._waiting, file
            self._changed.notify()
        if superseded is not None:
            superseded.remove()

    def _work(self) -> None:
        try:
            while (file := self._next()) is not None:
                self._store(file)
        finally:
            connections.close_all()

    def _next(self) -> Handed | None:
        """The next file, as soon as there is one; `None` at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting is not None or self._closed)
            file, self._waiting = self._waiting, None
            return file

    def _store(self, file: Handed) -> None:
        try:
            if not self._keep(file):
                self._lost.set()
        except Exception as error:  # The work itself goes on: it only has more to repeat if this worker dies.
            close_old_connections()
            self._failed_with(error)
        finally:
            file.remove()

    def _keep(self, file: Handed) -> bool:
        """Stores the file and the reference to it; `False` if the claim is lost."""
        if self._lost.is_set() or not self._step.renew(timing().lease):
            return False
        return self._step.keep_checkpoint(put_stream(read_chunks(file.file)), self._job.identity)

    def _failed_with(self, error: Exception) -> None:
        logger.warning("A checkpoint of step %s could not be stored.", self._step.pk, exc_info=error)
        if self._failed:
            return
        self._failed = True
        sentence = "A checkpoint could not be stored, so a next attempt would repeat more of the work."
        with suppress(DatabaseTrouble):
            _tell(self._step, "warning", f"{sentence} {type(error).__name__}: {error}")
