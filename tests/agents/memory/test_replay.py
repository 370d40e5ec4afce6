"""The search replayed on recorded measurements: a history finds the best candidate with fewer trials."""

from __future__ import annotations

from apps.agents.contracts.criteria import Objective
from apps.agents.memory.shrinkage import K
from benchmarks.memory.recording import read_all
from benchmarks.memory.replay import Replay, compare
from benchmarks.memory.spread import spread


def test_a_history_finds_the_best_candidate_with_fewer_trials() -> None:
    bare, others, again = compare(read_all(), orders=2)
    assert bare.sessions == others.sessions == again.sessions >= 12
    assert others.trials < bare.trials
    assert again.trials < bare.trials
    assert others.found >= bare.found


def test_a_replay_is_the_same_every_time() -> None:
    recording = read_all()[0]
    one, other = (Replay(recording, Objective.SIZE).run() for _ in range(2))
    assert one.steps == other.steps


def test_the_tables_weigh_at_least_as_much_as_recorded_measurements_say() -> None:
    sigma, tau = spread(read_all())
    assert (sigma / tau) ** 2 <= K
