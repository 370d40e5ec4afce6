"""Pruning to a measured speed: the search, by a clock that follows the share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from apps.agents.contracts.errors.techniques import TechniqueTooSlow
from apps.agents.contracts.reports.measurements import Estimate, Latency, LatencyComparison
from apps.agents.techniques.speed_target import CLOSE, MOST_TRIES, Found, SpeedGoal, SpeedSearch
from tests.agents.told import Told

MOST = 0.9


def latency(p50_ms: float) -> Latency:
    return Latency(p50_ms=p50_ms, p95_ms=p50_ms, throughput_per_s=1.0, runs=9, batch_size=1, threads=1)


def comparison(speedup: float, *, busy: bool = False) -> LatencyComparison:
    return LatencyComparison(
        original=latency(10.0),
        candidate=latency(10.0 / speedup),
        speedup=Estimate(value=speedup),
        control=Estimate(value=1.0),
        blocks=9,
        runs_per_block=1,
        warmup_runs=1,
        busy=busy,
    )


def search(
    goal: SpeedGoal, speed: Callable[[float], float], told: Told | None = None, *, busy: bool = False
) -> tuple[Found, list[float]]:
    """What a search finds where removing a share makes the model `speed(share)` times as fast, and what it timed."""
    shares: list[float] = []
    told = told or Told()

    def timed(share: float) -> LatencyComparison:
        shares.append(share)
        return comparison(speed(share), busy=busy)

    return SpeedSearch(goal, MOST, timed, told.progress, told.log, "Pruning").run(), shares


def in_steps(share: float) -> float:
    """As widths in blocks make it: no faster until the next block is gone."""
    return 1 / (1 - int(share * 8) / 8)


@pytest.mark.parametrize("goal", [SpeedGoal(2.0), SpeedGoal(latency_ms=5.0), SpeedGoal(1.5, 5.0), SpeedGoal(2.0, 9.0)])
def test_the_smallest_share_that_is_fast_enough_is_found(goal: SpeedGoal) -> None:
    told = Told()
    found, shares = search(goal, in_steps, told)
    assert 0.5 <= found.macs_removed <= 0.5 + 2 * CLOSE
    assert found.parameters == {"macs_removed": found.macs_removed, "speedup_wanted": 0.0, "latency_ms": 0.0}
    assert len(shares) == len(set(shares)) <= MOST_TRIES
    assert [one["macs_removed"] for one in found.evidence["timed"]] == [round(share, 4) for share in shares]
    assert found.evidence["speed_timed"] == "2 times as fast, 5 ms"
    assert told.fractions == sorted(told.fractions)
    assert told.fractions[-1] < 1


@pytest.mark.parametrize("speedup", [1.01, 1.2, 3.0, 7.9])
def test_what_is_found_has_been_timed_and_holds(speedup: float) -> None:
    found, shares = search(SpeedGoal(speedup), lambda share: 1 / (1 - share))
    assert found.macs_removed in shares
    assert 1 / (1 - found.macs_removed) >= speedup


@pytest.mark.parametrize(
    ("goal", "said"), [(SpeedGoal(11.0), "11 times as fast"), (SpeedGoal(0, 0.5), "at most 0.5 ms")]
)
def test_a_goal_out_of_reach_is_refused_after_one_try(goal: SpeedGoal, said: str) -> None:
    told = Told()
    with pytest.raises(TechniqueTooSlow) as refused:
        search(goal, lambda share: 1 / (1 - share), told)
    assert refused.value.code == "technique.too_slow"
    assert said in refused.value.message
    assert "90%" in refused.value.message
    assert "10 times as fast and takes 1 ms" in refused.value.message
    assert len(told.fractions) == 1


def test_a_busy_machine_is_reported() -> None:
    told = Told()
    found, _ = search(SpeedGoal(2.0), in_steps, told, busy=True)
    assert any("disturbed" in line for line in told.lines)
    assert all(one["busy"] for one in found.evidence["timed"])


def test_without_a_goal_no_speed_is_asked_for() -> None:
    assert not SpeedGoal.of({"speedup_wanted": 0.0, "latency_ms": 0.0}).asked
    assert not SpeedGoal.of({"speedup_wanted": 1.0, "latency_ms": 0.0}).asked
