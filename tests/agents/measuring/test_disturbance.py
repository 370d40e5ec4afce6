"""Which timed runs count."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from apps.agents.contracts.criteria import Device, Target
from apps.agents.measuring.disturbance import clean, waits
from apps.agents.measuring.stopwatch import Reading, Runs, SystemStopwatch, WallStopwatch, stopwatch_for, time_runs

ONE, FOUR = Target(threads=1), Target(threads=4)
MS = 1_000_000


def kept(readings: Sequence[Reading], target: Target = ONE) -> list[bool]:
    return clean(Runs(tuple(readings)), target).tolist()


def computing(wall_ms: float = 2.0, cpu_ms: float | None = None, involuntary: int = 0, voluntary: int = 0) -> Reading:
    cpu_ms = wall_ms if cpu_ms is None else cpu_ms
    return Reading(int(wall_ms * MS), int(cpu_ms * MS), involuntary, voluntary)


def test_a_run_that_lost_its_core_and_the_one_after_it_do_not_count():
    assert kept([computing(), computing(involuntary=1), computing(), computing()]) == [True, False, False, True]


def test_wall_beyond_cpu_time_does_not_count_on_one_thread():
    assert kept([computing(2.0, 1.99), computing(2.0, 1.9), computing(2.0, 2.0)]) == [True, False, True]


def test_what_reading_the_clocks_costs_is_forgiven_to_short_runs():
    assert kept([Reading(30_000, 27_000), Reading(30_000, 20_000)]) == [True, False]


def test_a_long_run_may_lose_its_core_once_in_a_while_if_that_took_no_time():
    assert kept([computing(100.0, involuntary=4), computing(100.0, 99.5, involuntary=9)]) == [True, False]
    assert kept([computing(100.0, 90.0, involuntary=1)]) == [False]


def test_several_threads_are_held_against_what_undisturbed_runs_show():
    """CPU over wall of 3.2 is what this model does on 4 threads; 2.4 is not."""
    usual, held_up = computing(2.0, 6.4, voluntary=3), computing(2.7, 6.4, voluntary=3)
    assert kept([usual] * 9 + [held_up] + [usual], FOUR) == [True] * 9 + [False] + [True]


def test_a_model_that_waits_by_design_is_not_called_disturbed_for_ever():
    """A runtime whose own pool computes: the calling thread sleeps meanwhile, and waking up takes its time."""
    waiting = [computing(1.0, 0.9, voluntary=1)] * 8
    assert waits(Runs(tuple(waiting)))
    assert all(kept(waiting))
    assert kept([*waiting, computing(2.0, 0.9, voluntary=1)])[-1] is False


def test_on_an_accelerator_only_lost_cores_tell():
    on_gpu = Target(device=Device.CUDA)
    assert kept([computing(5.0, 0.3), computing(5.0, 0.3, involuntary=1), computing(5.0, 0.3)], on_gpu) == [
        True,
        False,
        False,
    ]


class OnDevice:
    """An engine whose device has a clock of its own."""

    def stopwatch(self, target: Target) -> WallStopwatch:
        return WallStopwatch(lambda: 0)


def test_a_device_clock_is_read_only_where_both_models_are_on_it():
    on_gpu = Target(device=Device.CUDA)
    assert isinstance(stopwatch_for((OnDevice(), OnDevice()), on_gpu), WallStopwatch)
    assert isinstance(stopwatch_for((OnDevice(), object()), on_gpu), SystemStopwatch)


@pytest.mark.timing
def test_a_computation_on_a_quiet_machine_counts():
    matrix = np.ones((200, 200), dtype=np.float32)
    timed = time_runs(lambda: matrix @ matrix, 50, SystemStopwatch())
    assert np.mean(clean(timed, ONE)) > 0.5
