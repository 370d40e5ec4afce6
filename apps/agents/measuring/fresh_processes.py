"""Timing in fresh processes, because the ratio of the same two models varies from one process to the next.

The position of memory, the order of loading, and even the environment shift a ratio by several per cent for the
lifetime of a process (Mytkowicz, Diwan, Hauswirth and Sweeney, "Producing wrong data without doing anything obviously
wrong!", ASPLOS 2009). A single process cannot detect that, however long it measures. So intervals are over processes
(Kalibera and Jones, ISMM 2013), and a process ends as soon as it has nothing more to contribute.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from apps.agents.contracts.criteria import Target
from apps.agents.contracts.errors.running import ModelRunFailed
from apps.agents.contracts.reports.measurements import LatencyComparison
from apps.agents.measuring.comparison import compare, is_busy, speedup_of
from apps.agents.measuring.effort import FEWEST_PROCESSES, PROCESSES_TAKE, ROUNDS_A_PROCESS, Effort, Question, Watcher
from apps.agents.measuring.engine import Feeds
from apps.agents.measuring.protocol import MESSAGE, ModelFile, Request, Result, Step, stored_feeds
from apps.agents.measuring.record import Record
from apps.agents.measuring.scheduling.quiet import Waits, wait_for_quiet
from apps.agents.measuring.timer import settled
from apps.agents.sandbox.programs import SOURCE_ROOT, Ended, started

MOST_PROCESSES = 6
FIRST_LOOK = 0.2
"""Share of the probability of error for a look after `FEWEST_PROCESSES`; the rest is for when all have run."""
PRECISION = 0.05
"""More processes follow until the interval reaches no farther than this share of the ratio."""
TIMEOUT_S = 600.0


@dataclass(frozen=True)
class FreshProcessTimer:
    """Times in at least `processes` fresh processes, and up to six if they differ and the budget allows it.

    Each opens the original, the candidate and the control in a newly drawn order. `expected_s` is for the minimum.
    """

    original: ModelFile
    candidate: ModelFile
    scratch: Path
    effort: Effort
    processes: int = FEWEST_PROCESSES
    wait_s: float = 0.0
    """Maximum seconds to wait for a quiet moment first."""
    waits: Waits = field(default_factory=Waits)

    @property
    def expected_s(self) -> float:
        return PROCESSES_TAKE * self.effort.budget_s / 2

    def compare(
        self, feeds: Feeds, target: Target, question: Question, watcher: Watcher | None = None
    ) -> LatencyComparison:
        """Raises `ModelRunFailed` if a process fails, and `MemoryError` if the kernel killed one."""
        with tempfile.TemporaryDirectory(prefix="timing-", dir=self.scratch) as folder:
            run = _Series(self, stored_feeds(feeds, Path(folder)), Path(folder), target, question, watcher)
            return run.compare()


class _Series:
    """The processes of one comparison, run one after the other."""

    def __init__(
        self,
        timer: FreshProcessTimer,
        feeds: Path,
        scratch: Path,
        target: Target,
        question: Question,
        watcher: Watcher | None,
    ) -> None:
        self._timer, self._feeds, self._scratch = timer, feeds, scratch
        self._target, self._question, self._watcher = target, question, watcher
        self._planned = MOST_PROCESSES
        self._results: list[Result] = []
        self._start, self._waited_s = time.monotonic(), 0.0

    def compare(self) -> LatencyComparison:
        self._waited_s = wait_for_quiet(self._timer.wait_s, self._timer.waits, threads=self._target.threads)
        self._start = time.monotonic()
        while True:
            self._results.append(self._one(len(self._results)))
            if len(self._results) == 1:
                self._planned = self._affordable()
            if (question := self._answered()) is not None:
                return compare(self._records, self._target, question, self._waited_s)

    @property
    def _records(self) -> list[Record]:
        return [result.record for result in self._results]

    def _affordable(self) -> int:
        """How many processes there will be, from the time of the first one. The number is fixed before anything is
        compared: if it depended on results, the intervals would be too narrow."""
        spent_s = time.monotonic() - self._start
        fitting = int(PROCESSES_TAKE * self._timer.effort.budget_s / spent_s)
        return max(self._timer.processes, min(MOST_PROCESSES, fitting))

    def _answered(self) -> Question | None:
        """The question with the confidence for this look, if this is the last look; else `None`."""
        done, fewest = len(self._results), self._timer.processes
        confidence = confidence_left(self._question.confidence, done, self._planned, fewest)
        if confidence is None:
            return None
        question = replace(self._question, confidence=confidence)
        if done == self._planned:
            return question
        enough = settled(speedup_of(self._records, question), question.decide_at, PRECISION, PRECISION)
        return question if enough and not is_busy(self._records) else None

    def _one(self, number: int) -> Result:
        effort = self._timer.effort
        request = Request(
            original=self._timer.original,
            candidate=self._timer.candidate,
            feeds=self._feeds,
            scratch=self._scratch,
            target=self._target,
            effort=replace(
                effort,
                warmup_s=effort.warmup_s / 2,
                budget_s=effort.budget_s / self._timer.processes,
                rounds_minimum=min(effort.rounds_minimum, ROUNDS_A_PROCESS),
            ),
            seed=self._question.seed * MOST_PROCESSES + number,
        )
        result: Result | None = None
        with _process(request) as lines:
            for line in lines:
                message = MESSAGE.validate_json(line)
                if isinstance(message, Step):
                    self._report_progress(number, message)
                else:
                    result = message
        if result is None:
            raise ModelRunFailed(reason="a process that times it ended without a result")
        return result

    def _report_progress(self, number: int, step: Step) -> None:
        if not self._watcher:
            return
        processes = self._timer.processes if number < self._timer.processes else self._planned
        fraction = (number + step.fraction) / processes
        spent_s = time.monotonic() - self._start
        self._watcher(fraction, spent_s * (1 - fraction) / fraction if fraction else None)


def confidence_left(confidence: float, done: int, planned: int, fewest: int) -> float | None:
    """The confidence of the interval after `done` of `planned` processes; `None` if there is no look then.

    There are at most two looks; their probabilities of error add up to what the session allows (Bonferroni).
    """
    alpha = 1 - confidence
    if done == planned:
        return 1 - alpha * (1 if planned <= fewest else 1 - FIRST_LOOK)
    return 1 - alpha * FIRST_LOOK if done == fewest else None


@contextmanager
def _process(request: Request) -> Iterator[IO[str]]:
    """A fresh process working on `request`: yields the lines that it writes. Raises the error that explains its end."""
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "apps.agents.measuring.timing_process", str(writing), str(os.getpid())]
    with ExitStack() as stack:
        events = stack.enter_context(open(reading, encoding="utf-8"))
        try:
            program = stack.enter_context(
                started(command, folder=SOURCE_ROOT, limit_s=TIMEOUT_S, pass_fds=[writing]),
            )
        finally:
            os.close(writing)
        program.send(request.model_dump_json().encode())
        yield events
        _check(program.ended())


def _check(ended: Ended) -> None:
    if ended.killed:
        raise MemoryError("the process that times both models was killed, most likely for its memory")
    if not ended.well:
        raise ModelRunFailed(reason=f"the process that times both models {ended.reason}")
