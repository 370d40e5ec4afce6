"""The search replayed on recorded measurements: with a history it ends sooner, with the same best candidate."""

from __future__ import annotations

from apps.agents.contracts.criteria import Objective
from apps.agents.memory.shrinkage import K
from benchmarks.memory.recording import read_all
from benchmarks.memory.replay import Replay, compare
from benchmarks.memory.spread import spread


def test_with_a_history_the_best_candidate_is_found_and_fewer_are_measured() -> None:
    quick = [one for one in read_all() if not one.name.startswith("encoder")]
    bare, others, again = compare(quick, orders=2)
    assert bare.sessions == others.sessions == again.sessions >= 12
    assert (others.found, again.found) == (1.0, 1.0)
    assert again.trials <= bare.trials
    assert again.measured <= others.measured < bare.measured


def test_a_replay_is_the_same_every_time() -> None:
    recording = read_all()[0]
    one, other = (Replay(recording, Objective.SIZE).run() for _ in range(2))
    assert one.steps == other.steps


def test_the_tables_weigh_at_least_as_much_as_recorded_measurements_say() -> None:
    sigma, tau = spread(read_all())
    assert (sigma / tau) ** 2 <= K
