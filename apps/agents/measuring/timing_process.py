"""Times two models in a fresh process: `python -m apps.agents.measuring.timing_process EVENT_FD PARENT_PID`.

Reads a `Request` from standard input and writes `Step`s and one `Result` to EVENT_FD. It imports only what the two
formats need, so it has neither the worker's history nor its memory layout.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import IO

import numpy as np

from apps.agents.measuring.effort import ROUNDS_A_PROCESS
from apps.agents.measuring.engine import Engine, Feeds, open_engine
from apps.agents.measuring.interleaving import take_turns
from apps.agents.measuring.protocol import Request, Result, Step
from apps.agents.measuring.record import CANDIDATE, CONTENDERS, ORIGINAL, Record
from apps.agents.measuring.scheduling.priority import Scheduler, ask_for_priority
from apps.agents.measuring.stopwatch import Run, stopwatch_for
from apps.agents.sandbox.parent_watch import die_with_parent


def main(event_fd: int, parent: int) -> None:
    die_with_parent(parent)
    os.set_inheritable(event_fd, False)
    request = Request.model_validate_json(sys.stdin.buffer.read())
    with open(event_fd, "w", encoding="utf-8") as events:
        _send(events, Result(record=record_of(request, events)))
    # Libraries that shut down together may hang or crash; the result has been sent by now.
    os._exit(0)


def record_of(request: Request, events: IO[str]) -> Record:
    """Open both models and the control in a newly drawn order, and time them in turn."""
    with np.load(request.feeds, allow_pickle=False) as stored:
        feeds = {name: stored[name] for name in stored.files}
    engines = engines_of(request)
    return take_turns(
        contenders(request, engines, feeds),
        request.target,
        seed=request.seed,
        effort=request.effort,
        enough=lambda record: len(record.counted) >= ROUNDS_A_PROCESS,
        stopwatch=stopwatch_for(engines.values(), request.target),
        watcher=lambda fraction, eta_s: _send(events, Step(fraction=fraction, eta_s=eta_s)),
        favour=partial(_whole_process, request.target.threads) if request.effort.priority else nullcontext,
    )


@contextmanager
def _whole_process(threads: int) -> Iterator[str]:
    """Priority for this thread and those that the runtimes have already created."""
    scheduler = Scheduler()
    words = ask_for_priority(threads, scheduler)
    granted = scheduler.schedule()
    if granted is not None:
        for thread in scheduler.threads():
            scheduler.set_schedule(granted, thread)
    yield words


def engines_of(request: Request) -> dict[str, Engine]:
    """Both models opened, in a newly drawn order."""
    files = {ORIGINAL: request.original, CANDIDATE: request.candidate}
    order = sorted(files, reverse=bool(np.random.default_rng(request.seed).integers(2)))
    return {
        name: open_engine(files[name].format, files[name].path, request.scratch, files[name].signature)
        for name in order
    }


def contenders(request: Request, engines: Mapping[str, Engine], feeds: Feeds) -> dict[str, Run]:
    """Their sessions, loaded in a newly drawn order; the control is the original's second session."""
    order = np.random.default_rng(request.seed).permutation(len(CONTENDERS))
    names = [CONTENDERS[index] for index in order]
    return {name: partial(engines[_whose(name)].session(request.target), feeds) for name in names}


def _whose(contender: str) -> str:
    return CANDIDATE if contender == CANDIDATE else ORIGINAL


def _send(events: IO[str], message: Step | Result) -> None:
    events.write(message.model_dump_json() + "\n")
    events.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
