"""Cores that are kept for measuring: written as Linux does, and a child stays on them or says why it cannot."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from apps.agents.contracts.faults import Fault
from apps.agents.contracts.job import Event, Job, JobResult, LogLine
from apps.agents.sandbox.cores import missing, written
from apps.agents.sandbox.process import JobFailed, run_job

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="binds processes to cores")


@pytest.mark.parametrize(
    ("cores", "text"), [((), ""), ((3,), "3"), ((6, 2, 3), "2-3,6"), ((0, 1, 2, 4), "0-2,4"), ((1, 3, 5), "1,3,5")]
)
def test_cores_are_written_as_linux_does(cores: tuple[int, ...], text: str) -> None:
    assert written(cores) == text


def test_a_system_that_cannot_bind_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    assert missing([0]) == "this system cannot bind programs to cores: leave it empty."


def run(scratch: Path, cores: tuple[int, ...], threads: int = 1) -> tuple[JobResult, list[Event]]:
    events: list[Event] = []
    job = Job(handler="tests.agents.children:tell_its_cores", scratch=scratch, cores=cores, threads=threads)
    return run_job(job, on_event=events.append, should_stop=lambda: False), events


@on_linux
def test_a_child_stays_on_the_cores_of_its_job_with_all_that_it_starts(tmp_path: Path) -> None:
    core = max(os.sched_getaffinity(0))
    result, events = run(tmp_path, (core,))
    assert result.body == {"mine": [core], "started": [core]}
    assert events == []


@on_linux
def test_a_job_without_cores_of_its_own_has_all(tmp_path: Path) -> None:
    result, _ = run(tmp_path, ())
    assert result.body["mine"] == sorted(os.sched_getaffinity(0))


@on_linux
def test_more_threads_than_cores_are_told(tmp_path: Path) -> None:
    core = max(os.sched_getaffinity(0))
    _, events = run(tmp_path, (core,), threads=4)
    (line,) = [event for event in events if isinstance(event, LogLine)]
    assert line.level == "warning"
    assert f"asks for 4 threads, but this worker measures on 1 core (LATHE_CORES is {core})" in line.message


@on_linux
def test_cores_that_are_not_there_fail_the_step_with_what_would_be_right(tmp_path: Path) -> None:
    mine = os.sched_getaffinity(0)
    with pytest.raises(JobFailed) as caught:
        run(tmp_path, (min(mine), 4000))
    failure = caught.value.failure
    assert (failure.code, failure.expected, failure.fault) == ("step.cores_unavailable", True, Fault.INFRASTRUCTURE)
    assert f"This worker's LATHE_CORES is '{min(mine)},4000'" in failure.message
    assert f"Lathe may use the cores {written(mine)} of this machine" in failure.message
