"""What the last latency comparison says about the machine it was made on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from apps.agents.measuring.scheduling.health import Health, TimingHealth

AT = datetime(2026, 1, 2, tzinfo=UTC)


def health(low: float = 0.99, high: float = 1.01, **latency: Any) -> TimingHealth:
    return TimingHealth.of({"control": {"value": 1.0, "low": low, "high": high}, **latency}, AT)


@pytest.mark.parametrize(
    ("seen", "state"),
    [
        (health(), Health.GOOD),
        (health(low=0.94), Health.BUSY),
        (health(high=1.06), Health.BUSY),
        (health(high=1.2), Health.TOO_BUSY),
        (health(runs=100, disturbed=20), Health.GOOD),
        (health(runs=100, disturbed=21), Health.BUSY),
        (health(runs=100, disturbed=61), Health.TOO_BUSY),
        (health(runs=100, disturbed=0, busy=True), Health.TOO_BUSY),
    ],
)
def test_the_state_follows_from_spread_and_disturbances(seen: TimingHealth, state: Health) -> None:
    assert seen.state is state


def test_the_spread_is_the_farthest_that_the_interval_reaches_from_one() -> None:
    seen = health(low=0.97, high=1.01)
    assert seen.spread == pytest.approx(0.03)
    assert health(busy=True).spread is None


def test_reports_without_counts_are_read_and_know_no_share() -> None:
    assert health().disturbed_share is None
    assert health(runs=50, disturbed=5).disturbed_share == 0.1
