"""Planning the next step of a large session does each piece of work once, whatever the number of candidates.

Counts are compared and not seconds, so a busy machine changes nothing (`python -m benchmarks.planning` measures).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.state import Decision, Plan, SessionState
from apps.agents.session import reading, search
from apps.agents.session.manager import OptimizationManager
from tests.agents.session.large import large_session


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """How often the dear parts of a decision are done."""
    counts: Counter[str] = Counter()

    def counting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **more: Any) -> Any:
            counts[name] += 1
            return function(*given, **more)

        return call

    with monkeypatch.context() as patched:
        for value in (EvaluationReport, Plan):
            patched.setattr(value, "model_validate", counting(value.__name__, value.model_validate))
        patched.setattr(reading, "judge", counting("judged", reading.judge))
        patched.setattr(reading, "key_of", counting("keys", reading.key_of))
        patched.setattr(search, "obstacle", counting("weighed", search.obstacle))
        patched.setattr(search, "next_repair", counting("repairs", search.next_repair))
        patched.setattr(search.Search, "_has_to_beat", counting("baselines", search.Search._has_to_beat))
        yield counts


def decided(state: SessionState, monkeypatch: pytest.MonkeyPatch) -> tuple[Decision, Counter[str]]:
    with counted(monkeypatch) as counts:
        return OptimizationManager().next(state), counts


def test_a_session_of_200_candidates_reads_and_weighs_each_of_them_a_fixed_number_of_times(monkeypatch):
    decision, counts = decided(large_session(200, 100), monkeypatch)

    assert decision.requests
    assert counts["EvaluationReport"] == counts["judged"] == 100
    assert counts["Plan"] == 1
    assert counts["weighed"] <= 2 * 200
    assert counts["repairs"] <= 2 * 200
    assert counts["baselines"] == 0
    assert counts["keys"] <= 8 * 200


def test_twice_the_candidates_are_twice_the_work_and_not_four_times(monkeypatch):
    _, small = decided(large_session(100, 50), monkeypatch)
    _, large = decided(large_session(200, 100), monkeypatch)

    assert all(large[name] <= 2.2 * small[name] for name in large)


def test_work_done_once_changes_no_decision():
    """A state that is read anew each time gives what the state before it gave."""
    state = large_session(40, 20)
    first, second = (OptimizationManager().next(state) for _ in range(2))

    assert first == second
    assert OptimizationManager().next(SessionState.model_validate_json(state.model_dump_json())) == first
