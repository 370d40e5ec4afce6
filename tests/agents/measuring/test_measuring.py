"""Timing in turns, on a clock of the test's own."""

from __future__ import annotations

import gc
from collections.abc import Callable

import numpy as np
import pytest

from apps.agents.measuring.effort import Effort
from apps.agents.measuring.single_model import measure_latency
from apps.agents.measuring.stopwatch import no_garbage_collection
from tests.agents.timed import compare_latency


class Machine:
    """A clock that only running models moves: each run takes its time, times the machine's mood and a little noise."""

    def __init__(self, seed: int = 0, noise: float = 0.01) -> None:
        self.now_ns = 0
        self.calls: list[str] = []
        self.mood = 1.0
        self._noise = noise
        self._random = np.random.default_rng(seed)

    def clock(self) -> int:
        return self.now_ns

    def model(self, name: str, ms: float) -> Callable[[], None]:
        def run() -> None:
            self.calls.append(name)
            self.now_ns += int(ms * 1e6 * self.mood * (1 + self._noise * self._random.random()))

        return run


EFFORT = Effort(warmup_runs=3, warmup_s=0.02, budget_s=20.0)


def compare(machine: Machine, candidate_ms: float, **options):  # type: ignore[no-untyped-def]
    return compare_latency(
        machine.model("original", 2.0),
        machine.model("candidate", candidate_ms),
        machine.model("control", 2.0),
        batch_size=4,
        threads=1,
        clock=machine.clock,
        **{"seed": 1, "effort": EFFORT} | options,
    )


def test_a_model_twice_as_fast_is_found_twice_as_fast() -> None:
    result = compare(Machine(), 1.0)
    assert result.speedup.value == pytest.approx(2.0, rel=0.01)
    assert (result.speedup.low or 0) <= 2.0 * 1.01
    assert result.candidate.throughput_per_s == pytest.approx(4000, rel=0.02)
    assert result.original.p50_ms <= result.original.p95_ms


def test_the_same_model_twice_is_as_fast_as_itself() -> None:
    result = compare(Machine(noise=0.1), 2.0)
    assert (result.speedup.low or 0) <= 1.0 <= (result.speedup.high or 0)
    assert (result.control.low or 0) <= 1.0 <= (result.control.high or 0)


def test_every_round_has_all_three_in_a_drawn_order() -> None:
    machine = Machine()
    result = compare(machine, 1.0)
    length = result.runs_per_block + 1  # The first run of a block is not timed.
    timed = machine.calls[-3 * result.blocks * length :]
    blocks = [timed[start : start + length] for start in range(0, len(timed), length)]
    assert all(len(set(block)) == 1 for block in blocks)
    rounds = [tuple(block[0] for block in blocks[start : start + 3]) for start in range(0, len(blocks), 3)]
    assert all(sorted(order) == ["candidate", "control", "original"] for order in rounds)
    assert len(set(rounds)) > 2


def test_a_slow_stretch_does_not_move_the_ratio() -> None:
    machine = Machine()

    def watch(fraction: float, eta_s: float | None) -> None:
        machine.mood = 3.0 if len(machine.calls) % 400 > 200 else 1.0

    assert compare(machine, 1.0, watcher=watch).speedup.value == pytest.approx(2.0, rel=0.02)


def test_it_stops_early_when_the_interval_is_narrow_and_goes_on_when_it_is_not() -> None:
    quiet, loud = compare(Machine(noise=0.001), 1.0), compare(Machine(noise=4.0), 1.0)
    assert quiet.blocks == EFFORT.rounds_minimum
    assert loud.blocks > 2 * quiet.blocks


def test_a_limit_inside_the_interval_keeps_it_measuring() -> None:
    at_ease = compare(Machine(noise=0.02), 2.0 / 1.1)
    torn = compare(Machine(noise=0.02), 2.0 / 1.1, decide_at=(at_ease.speedup.value,))
    assert torn.blocks > at_ease.blocks


def test_the_time_budget_ends_it() -> None:
    machine = Machine(noise=4.0)
    result = compare(machine, 1.0, effort=Effort(warmup_runs=3, warmup_s=0.02, budget_s=0.5))
    assert 2 <= result.blocks < EFFORT.rounds_minimum


def test_a_hopelessly_slow_candidate_does_not_eat_the_budget() -> None:
    machine = Machine()
    result = compare(machine, 2000.0, effort=Effort(warmup_runs=3, warmup_s=0.02, budget_s=5.0))
    assert machine.now_ns < 40e9
    assert result.speedup.value == pytest.approx(0.001, rel=0.1)


def test_progress_and_the_time_left_are_told() -> None:
    told: list[tuple[float, float | None]] = []
    compare(Machine(noise=4.0), 1.0, watcher=lambda fraction, eta_s: told.append((fraction, eta_s)))
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions)
    assert fractions[-1] <= 1.0
    assert all(eta is not None and eta >= 0 for _, eta in told)


def test_one_model_alone_gets_its_percentiles() -> None:
    machine = Machine(noise=0.5)
    latency = measure_latency(
        machine.model("original", 2.0), batch_size=1, threads=2, runs=100, effort=EFFORT, clock=machine.clock
    )
    assert (latency.runs, latency.threads) == (100, 2)
    assert 2.0 <= latency.p50_ms <= latency.p95_ms <= 3.0


def test_a_slow_model_alone_gets_the_runs_that_its_budget_affords() -> None:
    machine = Machine()
    latency = measure_latency(
        machine.model("original", 500.0), batch_size=1, threads=1, budget_s=5.0, effort=EFFORT, clock=machine.clock
    )
    assert 3 <= latency.runs <= 10


def test_garbage_collection_is_off_while_timing_and_on_again_after_an_error() -> None:
    def failing() -> None:
        assert not gc.isenabled()
        raise RuntimeError("the model fails")

    with pytest.raises(RuntimeError), no_garbage_collection():
        failing()
    assert gc.isenabled()
