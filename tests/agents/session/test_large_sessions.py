"""Planning the next step of a large session does each piece of work once, whatever the number of candidates.

Counts are compared and not seconds, so a busy machine changes nothing (`python -m benchmarks.planning` measures).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.state import Decision, Plan, SessionState
from apps.agents.session import chances, reading, search
from apps.agents.session.candidates import Trial
from apps.agents.session.manager import OptimizationManager
from apps.agents.techniques.catalogue import catalogue
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
        patched.setattr(search.Option, "__eq__", counting("compared", search.Option.__eq__))
        patched.setattr(chances.Prospect, "chance", counting("chances", chances.Prospect.chance))
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
    assert counts["baselines"] == counts["compared"] == 0
    assert counts["chances"] <= 4 * 200
    assert counts["keys"] <= 8 * 200


def test_twice_the_candidates_are_twice_the_work_and_not_four_times(monkeypatch):
    _, small = decided(large_session(100, 50), monkeypatch)
    _, large = decided(large_session(200, 100), monkeypatch)

    assert all(large[name] <= 2.2 * small[name] for name in large)


def test_the_narrowest_and_the_widest_interval_stand_for_all_in_the_chance_to_hold_a_limit():
    measured = [trial for trial in search.Search(large_session(40, 20), catalogue()).trials if trial.report]
    wide = [_with_drop_up_to(trial, high) for trial in measured for high in (0.6, 1.5, 3.0, 9.0)]
    some = chances.extremes(wide)

    assert len(some) < len(wide)
    for points in (-0.5, 0.0, 0.4, 0.99, 1.0, 1.01, 2.0, 8.0):
        of_all = chances.chance_to_hold(points, 1.0, wide)
        assert chances.chance_to_hold(points, 1.0, some) == pytest.approx(of_all, abs=1e-12)


def _with_drop_up_to(trial: Trial, high: float) -> Trial:
    """The trial with an interval of its loss that reaches so many points beyond the loss."""
    assert trial.report is not None
    drop = trial.report.primary.drop
    wider = drop.model_copy(update={"high": drop.value + high})
    metrics = (trial.report.primary.model_copy(update={"drop": wider}), *trial.report.metrics[1:])
    return replace(trial, report=trial.report.model_copy(update={"metrics": metrics}))


def test_work_done_once_changes_no_decision():
    """A state that is read anew each time gives what the state before it gave."""
    state = large_session(40, 20)
    first, second = (OptimizationManager().next(state) for _ in range(2))

    assert first == second
    assert OptimizationManager().next(SessionState.model_validate_json(state.model_dump_json())) == first
