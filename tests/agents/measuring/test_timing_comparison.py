"""What rounds say of two models, and when a machine is too busy to say anything."""

from __future__ import annotations

import numpy as np
import pytest

from apps.agents.contracts.criteria import Target
from apps.agents.contracts.reports.measurements import UNKNOWN, LatencyComparison
from apps.agents.measuring.comparison import compare
from apps.agents.measuring.effort import Effort, Question
from apps.agents.measuring.interleaving import take_turns
from apps.agents.measuring.record import CONTENDERS, Record
from apps.agents.measuring.stopwatch import Reading, Run
from apps.agents.measuring.timer import settling

MS = 1_000_000
TIMES_MS = {"original": 2.0, "candidate": 0.5, "control": 2.0}
EFFORT = Effort(warmup_runs=3, warmup_s=0.02, budget_s=5.0)
ONE = Target(threads=1)
QUESTION = Question(seed=3)


class SharedCore:
    """A core on which every run meets another program's slice with a chance that grows with its length."""

    def __init__(self, load: float, seed: int = 0, slice_ms: float = 4.0) -> None:
        self._load, self._slice_ms = load, slice_ms
        self._random = np.random.default_rng(seed)
        self._now_ns = 0
        self._computing_ms = 0.0

    def models(self) -> dict[str, Run]:
        return {name: self.model(ms) for name, ms in TIMES_MS.items()}

    def model(self, ms: float) -> Run:
        def run() -> None:
            self._computing_ms += ms * self._random.normal(1, 0.01)

        return run

    def now_ns(self) -> int:
        return self._now_ns

    def time(self, run: Run, repeat: int) -> Reading:
        self._computing_ms = 0.0
        for _ in range(repeat):
            run()
        lost = int(self._random.poisson(self._load * self._computing_ms))
        cpu_ns = int(self._computing_ms * MS)
        wall_ns = cpu_ns + int(lost * self._slice_ms * MS)
        self._now_ns += wall_ns
        return Reading(wall_ns, cpu_ns, involuntary=lost)

    def pause(self, seconds: float) -> None:
        self._now_ns += int(seconds * 1e9)

    def describe(self) -> str:
        return ""


def record(load: float, seed: int = 0, effort: Effort = EFFORT) -> Record:
    core = SharedCore(load, seed)
    return take_turns(core.models(), ONE, seed=seed, effort=effort, enough=settling(QUESTION, effort), stopwatch=core)


def compared(load: float, seed: int = 0, effort: Effort = EFFORT) -> LatencyComparison:
    return compare([record(load, seed, effort)], ONE, QUESTION)


@pytest.mark.parametrize("load", [0.0, 0.1, 0.2, 0.4, 0.8, 3.0])
def test_the_speedup_under_load_is_the_quiet_one_or_not_known(load: float):
    """The wall median of a run of 2 ms holds slices of 4 ms from a load of 0.35 on, that of half a millisecond hardly
    any: their ratio would come out as 12."""
    result = compared(load)
    assert result.busy or (result.speedup.low or 0) <= 4.0 * 1.01
    assert result.busy or (result.speedup.high or 0) >= 4.0 * 0.99
    assert result.speedup.value == pytest.approx(4.0, rel=0.05)


def test_plain_wall_medians_under_the_same_load_are_wrong():
    """What the rule is for."""
    series = record(0.4).series
    plain = np.median(series["original"].wall_ms) / np.median(series["candidate"].wall_ms)
    assert plain > 8


def test_too_busy_a_machine_is_said_to_be_busy_with_the_runs_that_were_disturbed():
    result = compared(3.0)
    assert result.busy
    assert (result.speedup.low, result.speedup.high) == (0.0, UNKNOWN)
    assert 0.8 * result.runs < result.disturbed <= result.runs
    assert result.cpu_speedup is not None
    assert result.speedup.value == result.cpu_speedup.value


def test_a_quiet_machine_is_not_busy_and_loses_no_run():
    result = compared(0.0)
    assert (result.busy, result.disturbed, result.processes) == (False, 0, 1)
    assert result.runs >= 3 * result.blocks * result.runs_per_block


def test_cpu_time_tells_the_same_on_a_quiet_machine():
    result = compared(0.0)
    assert result.cpu_speedup is not None
    assert result.cpu_speedup.value == pytest.approx(result.speedup.value, rel=0.01)


def test_of_several_threads_cpu_time_is_not_compared():
    assert compare([record(0.0)], Target(threads=4), QUESTION).cpu_speedup is None


def test_a_slow_model_gets_blocks_of_one_run_and_an_interval_of_few_rounds():
    slow = Effort(warmup_runs=1, warmup_s=0.0, block_s=0.001, budget_s=0.015)
    result = compared(0.0, effort=slow)
    assert result.runs_per_block == 1
    assert 3 <= result.blocks <= 5
    assert not result.busy
    assert result.speedup.value == pytest.approx(4.0, rel=0.03)
    assert (result.speedup.low or 0) > 1


def test_over_several_processes_the_interval_is_that_of_their_means():
    """Four processes in which memory lies differently."""
    records = [_scaled(record(0.0, seed), factor) for seed, factor in enumerate((1.0, 1.05, 0.94, 1.02))]
    alone, together = compare(records[:1], ONE, QUESTION), compare(records, ONE, QUESTION)
    assert together.processes == 4
    assert together.blocks == sum(len(one.counted) for one in records)
    assert _reach(together) > 3 * _reach(alone)


def test_processes_without_a_clean_round_leave_the_speedup_unknown():
    result = compare([record(0.0), record(0.0, 1), record(6.0, 2)], ONE, QUESTION)
    assert result.busy


def test_single_runs_too_short_for_the_clocks_are_timed_several_at_once():
    core = SharedCore(0.0)
    models = {name: core.model(0.001) for name in CONTENDERS}
    found = take_turns(models, ONE, seed=1, effort=EFFORT, enough=settling(QUESTION, EFFORT), stopwatch=core)
    assert found.runs_per_block > 1000
    assert found.series["original"].medians_ms[0] == pytest.approx(0.001, rel=0.05)


def test_of_several_threads_too_many_disturbed_runs_leave_nothing_to_hold_the_others_against():
    pair = Target(threads=2)
    core = SharedCore(0.4)
    found = take_turns(core.models(), pair, seed=1, effort=EFFORT, enough=settling(QUESTION, EFFORT), stopwatch=core)
    assert found.series["original"].disturbed > found.series["original"].runs / 2
    assert compare([found], pair, QUESTION).busy
    assert not compare([record(0.4)], ONE, QUESTION).busy


def _scaled(one: Record, factor: float) -> Record:
    candidate = one.series["candidate"]
    medians = tuple(None if median is None else median * factor for median in candidate.medians_ms)
    return one.model_copy(
        update={"series": one.series | {"candidate": candidate.model_copy(update={"medians_ms": medians})}}
    )


def _reach(result: LatencyComparison) -> float:
    return (result.speedup.high or 0) - (result.speedup.low or 0)
