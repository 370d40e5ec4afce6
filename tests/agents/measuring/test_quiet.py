"""Waiting for a quiet machine: how long, what is told, and what counts as quiet."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from apps.agents.contracts.reports.pressure import Pressure
from apps.agents.measuring.scheduling.priority import Scheduler
from apps.agents.measuring.scheduling.quiet import (
    Waits,
    Window,
    affordable_wait_s,
    look_around,
    trouble,
    wait_for_quiet,
)


class Day(Waits):
    """A clock that goes on only while somebody looks or sleeps."""

    def __init__(self, *troubles: str | None, look_s: float = 0.25) -> None:
        self.now, self.look_s, self.told = 100.0, look_s, list[str]()
        self.left_s, self.ended_s = list[float](), list[float]()
        self._troubles = list(troubles)

    def look(self) -> str | None:
        self.now += self.look_s
        return self._troubles.pop(0) if len(self._troubles) > 1 else self._troubles[0]

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def waits(self, limit_s: float) -> float:
        return wait_for_quiet(limit_s, self, look=self.look, clock=lambda: self.now, sleep=self.sleep)

    def waiting(self, reason: str, waited_s: float, left_s: float) -> None:
        self.told.append(reason)
        self.left_s.append(left_s)

    def ended(self, waited_s: float) -> None:
        self.ended_s.append(waited_s)


def test_a_quiet_machine_is_not_waited_for() -> None:
    day = Day(None)
    assert day.waits(60) == 0
    assert (day.told, day.ended_s) == ([], [0])


def test_the_wait_ends_with_the_noise_and_says_what_it_waits_for() -> None:
    day = Day("3 programs compete for the cores", "3 programs compete for the cores", None)
    assert day.waits(60) == 2.75
    assert day.told == [
        "Waiting for a quiet machine: 3 programs compete for the cores (0 s of at most 60)",
        "Waiting for a quiet machine: 3 programs compete for the cores (2 s of at most 60)",
    ]
    assert day.left_s == [59.75, 58.5]
    assert day.ended_s == [2.75]


def test_the_wait_is_bounded() -> None:
    day = Day("another program competes for the cores")
    assert day.waits(5) == 5
    assert day.left_s[-1] <= 1
    assert day.ended_s == [5]
    assert day.now <= 105 + 2 * day.look_s


def test_no_wait_where_none_is_allowed() -> None:
    day = Day("another program competes for the cores")
    assert day.waits(0) == 0
    assert day.now == 100
    assert day.ended_s == [0]


@pytest.mark.parametrize(
    ("most_s", "minutes", "candidates", "seconds"),
    [(20, 60, 6, 20), (20, 2, 6, 2), (20, 10, 12, 5), (0, 60, 6, 0)],
)
def test_the_wait_takes_a_tenth_of_a_candidates_share_at_most(
    most_s: float, minutes: float, candidates: int, seconds: float
) -> None:
    assert affordable_wait_s(most_s, minutes, candidates) == pytest.approx(seconds)


def window(interrupted: float = 0.0, others: int | None = 0, delayed: float = 0.0, **pressure: float) -> Window:
    return Window(interrupted, delayed, others, Pressure(seconds=0.25, **pressure))


@pytest.mark.parametrize(
    ("seen", "threads", "words"),
    [
        (window(), 1, None),
        (window(others=3), 1, None),
        (window(others=4), 1, "4 programs compete for the cores"),
        (window(others=1), 4, "another program competes for the cores"),
        (window(others=None), 1, None),
        (window(interrupted=0.1), 1, None),
        (window(interrupted=0.2, others=None), 1, "other programs interrupted 20 % of the probes"),
        (window(interrupted=0.06, delayed=0.04), 1, None),
        (window(interrupted=0.04, delayed=0.08), 1, "the host or interrupts delayed 12 % of the probes"),
        (window(steal_share=0.3), 1, "the host takes 30 % of the cores' time"),
        (window(steal_share=0.01), 1, None),
        (window(throttled_periods=1), 1, "the CPU limit of its control group slows it down"),
        (window(waiting_share=0.9), 1, None),  # somebody waits for some core; there is one for us
    ],
)
def test_what_disturbs_on_a_machine_of_four_cores(seen: Window, threads: int, words: str | None) -> None:
    assert trouble(seen, threads, cores=4) == words


@pytest.mark.skipif(sys.platform != "linux", reason="pins processes to a core")
def test_a_program_on_the_same_core_is_seen() -> None:
    core = min(os.sched_getaffinity(0))
    program = f"import os\nos.sched_setaffinity(0, [{core}])\nprint('ready', flush=True)\nwhile True: pass"
    mine = os.sched_getaffinity(0)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, start_new_session=True) as busy:
        try:
            assert busy.stdout is not None
            busy.stdout.readline()
            os.sched_setaffinity(0, {core})
            time.sleep(0.05)
            seen = look_around()
        finally:
            os.sched_setaffinity(0, mine)
            busy.kill()
    assert seen.disturbed_share > 0.1
    assert seen.others is None or seen.others >= 1
    assert Scheduler().schedule() is None or trouble(seen, threads=os.cpu_count() or 1) is not None
