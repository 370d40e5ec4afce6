"""Runs one step: claims it, runs its agent in a child process, stores the result, and releases it.

The claim guards every write. A heartbeat renews its lease during the work. A run that lost its claim (because the
worker was silent for too long and another took over) stops and writes nothing more. However a step ends, its session is
then advanced.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from django.db import Error as DatabaseTrouble
from django.db import close_old_connections, connections, transaction
from django.utils import timezone

from apps.agents.contracts.errors.packaging import SigningKeyUnusable
from apps.agents.contracts.faults import Fault
from apps.agents.contracts.job import (
    CheckpointKept,
    Event,
    Job,
    JobFailure,
    JobResult,
    LogLine,
    MetricValue,
    Progress,
    QuietWait,
    TrialMade,
)
from apps.agents.contracts.phrasing import listed
from apps.agents.contracts.searching import TrialCard
from apps.agents.contracts.state import ACTIVE, StepKind
from apps.agents.sandbox.process import JobCancelled, JobFailed, run_job
from apps.errors import UserError
from apps.ids import bound_ids
from apps.models.errors import StoreFileMissing
from apps.models.storage import put_file
from apps.models.timing import timing
from apps.models.trouble import trouble_of
from apps.optimization import (
    breakers,
    checkpoints,
    collecting,
    devices,
    events,
    jobs,
    messages,
    outcomes,
    scratch,
    signing,
    trials,
    workers,
)
from apps.optimization.curves import Curves, extended
from apps.optimization.errors.running import InfrastructureFailed, StepErrored
from apps.optimization.identity import identity_of
from apps.optimization.models import LogEntry, OptimizationSession, PipelineSettings, SessionStep
from apps.optimization.taking_over import Claim, claim
from apps.texts import storable

logger = logging.getLogger(__name__)
child_logger = logging.getLogger(f"{__name__}.child")
"""What children report, in the worker's log as well."""

BUSY_WAIT_MS = 2_000
MOST_CRASHES = 2
"""If a library has crashed on an input twice, it will crash again."""
MOST_LOG_CHARACTERS = 4_000
CURVES_EVERY_S = 1.0
"""How often the points of a curve are written: pages draw it anew each time."""
WORTH_TELLING_S = 5.0
"""Waits in the queue that are at least this long are logged."""
_slot = threading.Lock()
"""A process runs one step at a time, because a second one would disturb the measurements of the first."""


def _tried_enough(step: SessionStep, fault: Fault | None) -> bool:
    """Whether a step that failed for `fault` is given up. A checkpoint is worth a fresh count only where nothing that
    the step itself does may have failed.
    """
    most = PipelineSettings.current().max_attempts
    if fault is not Fault.INFRASTRUCTURE:
        return step.attempt >= (min(most, MOST_CRASHES) if fault is Fault.CRASH else most)
    step.refresh_from_db(fields=["advanced_at_attempt"])
    return step.tried_enough(most)


def _of_infrastructure(error: UserError) -> JobFailure:
    """A failure that says nothing about the step, so that it is tried again."""
    return JobFailure(code=error.code, message=error.message, expected=True, transient=True, fault=Fault.INFRASTRUCTURE)


def _unless_inputs_are_gone(failure: JobFailure, job: Job) -> JobFailure:
    """`failure`, or the store's if a file that the job reads has gone away meanwhile: then the work is not at fault."""
    gone = [role for role, path in job.inputs.items() if not path.exists()]
    if failure.fault is not None or not gone:
        return failure
    return _of_infrastructure(InfrastructureFailed(what="The store", reason=f"{listed(gone)} could no longer be read"))


class ClaimLost(Exception):
    """Another run has taken over this step."""


def run_step(step_id: int) -> None:
    """Runs the step if it is still queued and this worker is the first to claim it."""
    if not _slot.acquire(blocking=False):
        messages.send_later(step_id, BUSY_WAIT_MS)
        return
    try:
        step = SessionStep.objects.select_related("session").filter(pk=step_id).first()
        if step is None or not _wanted(step.session_id) or _is_paused(step.queue):
            return
        if _waits_for_its_input(step) or devices.is_for_another(step) or breakers.is_paused(workers.name()):
            messages.send_later(step_id, BUSY_WAIT_MS)
            return
        with devices.reserved(step.queue) as ours:
            if ours:
                _take_and_run(step)
            else:
                messages.send_later(step_id, BUSY_WAIT_MS)
    finally:
        _slot.release()


def _take_and_run(step: SessionStep) -> None:
    match claim(step, workers.name(), timing().lease):
        case Claim.GONE:
            messages.send_when_due(step.pk)
            return
        case Claim.THEIRS:
            messages.send_later(step.pk, BUSY_WAIT_MS)
            return
        case Claim.TAKEN:
            messages.send_advance(step.session_id)
            return
    with bound_ids(**_ids(step)), workers.busy_with(step):
        StepRun(step).carry_out()
    messages.send_advance(step.session_id)


def _ids(step: SessionStep) -> dict[str, object]:
    """What log lines of this run carry."""
    return {
        "team": step.session.team_id,
        "session": step.session_id,
        "step": step.key,
        "candidate": step.candidate_key,
        "attempt": step.attempt,
        "worker": workers.name(),
    }


def _waits_for_its_input(step: SessionStep) -> bool:
    """Whether a step that makes one of its inputs is being repeated, because its file is not there any more."""
    parents = SessionStep.objects.filter(session_id=step.session_id, key__in=step.parents.values())
    return bool(step.parents) and parents.filter(status__in=ACTIVE).exists()


def _is_paused(queue: str) -> bool:
    """Whether an operator paused the queue. Its steps are announced again when that ends."""
    return queue in PipelineSettings.current().paused_queues


def _wanted(session_id: UUID) -> bool:
    return OptimizationSession.objects.active().filter(pk=session_id, cancel_requested_at=None).exists()


class StepRun:
    """One attempt of a step, under the row's claim."""

    def __init__(self, step: SessionStep) -> None:
        self.step = step
        self.session = step.session
        self.patience = timing()
        self.lost = threading.Event()
        self._keeper: checkpoints.Keeper | None = None
        self._progress: Progress | None = None
        self._quiet_wait: QuietWait | None = None
        self._lines: list[LogEntry] = []
        self._points: list[MetricValue] = []
        self._trials: list[TrialCard] = []
        self._written_at = self._checked_at = self._drawn_at = 0.0
        self._unwanted = False

    def carry_out(self) -> None:
        """Runs the step to its end and records the outcome. Raises only if the database is unavailable."""
        logger.info("Step %s of session %s: attempt %d.", self.step.key, self.session.pk, self.step.attempt)
        events.poke(self.session)
        try:
            self._tell_wait()
            events.poke_waiting()
            self.step.note_identity(identity_of(self.step))
            with self._heartbeat(), scratch.folder(self.step) as folder, jobs.prepared(self.step, folder) as job:
                result = self._run(job)
                self._keep(job, result)
            breakers.note_success(self.step, workers.name())
        except StoreFileMissing as error:
            self._without_file(error)
        except SigningKeyUnusable as error:
            # Another worker may have the key.
            self._again(_of_infrastructure(error))
        except ClaimLost:
            logger.warning("Step %s of session %s was taken over by another run.", self.step.key, self.session.pk)
        except JobCancelled:
            self._stopped()
        except JobFailed as error:
            breakers.note_failure(self.step, workers.name(), error.failure)
            self._failed(error.failure)
        except Exception as error:
            close_old_connections()
            self._trouble(error)
        events.poke(self.session)

    def _tell_wait(self) -> None:
        """Logs a long wait in the queue."""
        waited_s = self.step.waited_s
        if waited_s is not None and waited_s >= WORTH_TELLING_S:
            self._log("info", f"The step waited {waited_s:.0f} s in the queue, which the budget does not count.")

    def _trouble(self, error: Exception) -> None:
        """Handles an exception in this process: an infrastructure failure or a bug in Lathe."""
        trouble = trouble_of(error)
        if trouble is None:
            logger.error(
                "Step %s of session %s failed with an internal error.", self.step.key, self.session.pk, exc_info=error
            )
            self._broke("".join(traceback.format_exception(error)))
            return
        logger.warning(
            "Step %s of session %s failed because of the infrastructure.",
            self.step.key,
            self.session.pk,
            exc_info=error,
        )
        self._again(_of_infrastructure(InfrastructureFailed(what=trouble.what, reason=trouble.reason)))

    def _run(self, job: Job) -> JobResult:
        limits = jobs.limits(PipelineSettings.current())
        devices.require_room(self.step, job)
        try:
            with checkpoints.keeping(self.step, job, self.lost) as self._keeper:
                return run_job(job, on_event=self.on_event, should_stop=self.should_stop, limits=limits)
        except JobFailed as error:
            raise JobFailed(_unless_inputs_are_gone(error.failure, job)) from error
        finally:
            self._write(drawn=True)

    # --- while it runs ------------------------------------------------------------------------------------------------

    @contextmanager
    def _heartbeat(self) -> Iterator[None]:
        """Renews the lease in a separate thread, so that it stays valid while large files are fetched and stored."""
        done = threading.Event()

        def beat() -> None:
            while not done.wait(self.patience.heartbeat_s):
                try:
                    if not self.step.renew(self.patience.lease):
                        self.lost.set()
                        break
                except DatabaseTrouble:
                    logger.warning("The lease of step %s could not be renewed yet.", self.step.pk, exc_info=True)
                    close_old_connections()
            connections.close_all()

        thread = threading.Thread(target=beat, name=f"lease-{self.step.pk}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def on_event(self, event: Event) -> None:
        """Receives the child's messages. They are written in batches, at most twice a second."""
        match event:
            case Progress():
                self._progress = event
                self._quiet_wait = event.quiet_wait or self._quiet_wait
            case LogLine():
                self._note(event.level, event.message)
            case MetricValue(step=None):
                self._note("info", f"{event.name} = {event.value:g}")
            case MetricValue():
                self._points.append(event)
            case TrialMade():
                self._trials.append(event.card)
            case CheckpointKept() if self._keeper is not None:
                # What goes on from the checkpoint does not measure again what came before it.
                self._write(drawn=True)
                self._keeper.take(event)
        if time.monotonic() - self._written_at >= self.patience.write_s:
            self._write()

    def should_stop(self) -> bool:
        """Whether to kill the child: the step was cancelled or taken over, or this worker is stopping."""
        if self.lost.is_set() or workers.stopping.is_set():
            return True
        now = time.monotonic()
        if now - self._checked_at >= self.patience.cancel_check_s:
            self._checked_at = now
            self._unwanted = not _wanted(self.session.pk)
        if now - self._written_at >= self.patience.write_s:
            self._write()
        return self._unwanted

    def _note(self, level: str, message: str) -> None:
        text = storable(message)[:MOST_LOG_CHARACTERS]
        child_logger.log(logging.getLevelNamesMapping()[level.upper()], "%s", text)
        self._lines.append(
            LogEntry(session=self.session, step_key=self.step.key, level=level, message=text, at=timezone.now())
        )

    def _write(self, *, drawn: bool = False) -> None:
        """Writes the messages received since the last time, if this run still holds the claim, and pokes the pages.

        Curves are written if their time has come, or if they are to be `drawn` in any case.
        """
        self._written_at = time.monotonic()
        progress, wait, lines, curves = self._progress, self._quiet_wait, self._lines, self._new_curves(drawn)
        cards = self._trials
        if progress is None and not lines and not cards and curves is None:
            return
        self._progress, self._quiet_wait, self._lines, self._trials = None, None, [], []
        with transaction.atomic():
            if progress is not None:
                held = self.step.note_progress(
                    progress=progress.fraction, message=storable(progress.message), eta_s=progress.eta_s
                )
            else:
                held = self.step.renew(self.patience.lease)
            if held:
                LogEntry.objects.bulk_create(lines)
            if held and wait is not None:
                self.step.note_quiet_wait(wait)
            if held and curves is not None:
                self.step.note_curves(curves)
            if held and cards:
                trials.keep(self.step, cards)
        if held:
            events.poke(self.session)
        else:
            self.lost.set()

    def _new_curves(self, drawn: bool) -> Curves | None:
        """The step's curves with the points received, if they are to be written now."""
        if not self._points or (not drawn and time.monotonic() - self._drawn_at < CURVES_EVERY_S):
            return None
        self._drawn_at = time.monotonic()
        points, self._points = self._points, []
        self.step.curves = extended(self.step.curves, points)
        return self.step.curves

    # --- how it ends --------------------------------------------------------------------------------------------------

    def _keep(self, job: Job, result: JobResult) -> None:
        """Stores files first, then the reference to them, then the end, so that a crash in between leaves a consistent
        state.
        """
        artifact, body = jobs.artifact_of(job, result), result.body
        if artifact is not None and self.step.kind == StepKind.PACKAGE:
            body = {**body, **signing.signed(artifact.path, job.scratch)}
        if artifact is not None and not self.step.keep_artifact(put_file(artifact.path), artifact.filename):
            raise ClaimLost
        answers = jobs.answers_of(job, result)
        stored = put_file(answers) if answers is not None else None
        with transaction.atomic():
            if not self.step.complete(body):
                raise ClaimLost
            outcomes.keep_report(self.step)
            if stored is not None:
                outcomes.keep_answers(self.step, stored)

    def _without_file(self, error: StoreFileMissing) -> None:
        """A file that the step reads is missing or damaged. What a step has made is made again, and this step waits for
        it; an upload cannot be made again.
        """
        if not _tried_enough(self.step, Fault.INFRASTRUCTURE) and self._made_again(error):
            return
        self._end(error.code, error.message, fault=Fault.INFRASTRUCTURE)

    def _made_again(self, error: StoreFileMissing) -> bool:
        with transaction.atomic():
            OptimizationSession.objects.lock(self.session.pk)
            again = collecting.make_inputs_again(self.step, ask_the_store=True)
            if not again or not self.step.hand_back(reason=error.message):
                transaction.set_rollback(True)
                return False
            self.step.refresh_from_db()
            self._log("warning", f"{error.message} It is made again: {listed([one.key for one in again])}.")
            for one in (*again, self.step):
                messages.send_step(one)
        return True

    def _stopped(self) -> None:
        """The step was cancelled, or this worker is stopping. In that case the attempt does not count and another
        continues.
        """
        if self.lost.is_set() or not workers.stopping.is_set() or not _wanted(self.session.pk):
            self.step.cancel()
            return
        if self.step.hand_back(reason="The worker was stopped. Another worker continues.", counts=False):
            self.step.refresh_from_db()
            messages.send_step(self.step)

    def _failed(self, failure: JobFailure) -> None:
        """The child reported a failure or crashed."""
        if failure.transient:
            self._again(failure)
        elif failure.expected:
            self._end(failure.code, failure.message, fault=failure.fault)
        else:
            self._broke(failure.traceback or failure.message, failure.fault)

    def _again(self, failure: JobFailure) -> None:
        """Returns the step to the queue with a growing wait, and smaller batches if memory ran out;
        finally fails it.
        """
        reason = storable(failure.message)
        attempt = self.step.attempt
        if _tried_enough(self.step, failure.fault):
            self._end(failure.code, reason, fault=failure.fault)
            return
        halve = jobs.ran_out_of_memory(failure) and self.step.kind not in (StepKind.PLAN, StepKind.REFINE)
        infrastructure = failure.fault is Fault.INFRASTRUCTURE
        backoff = self.patience.backoff_of_infrastructure if infrastructure else self.patience.backoff
        wait = backoff(attempt)
        with transaction.atomic():
            if not self.step.hand_back(reason=reason, wait=wait, halve_batches=halve):
                return
            self.step.refresh_from_db()
            smaller = " with smaller batches" if halve else ""
            self._log("warning", f"{reason} Attempt {attempt + 1} follows in {wait.total_seconds():.0f} s{smaller}.")
            messages.send_step(self.step)

    def _broke(self, trace: str, fault: Fault | None = None) -> None:
        errored = StepErrored()
        self._end(errored.code, errored.message, storable(trace), fault=fault)

    def _end(self, code: str, sentence: str, trace: str = "", *, fault: Fault | None = None) -> None:
        with transaction.atomic():
            if self.step.fail(code[:80], storable(sentence), trace, fault=fault):
                self._log("error", sentence)

    def _log(self, level: str, message: str) -> None:
        self.session.log.create(step_key=self.step.key, level=level, message=storable(message)[:MOST_LOG_CHARACTERS])
