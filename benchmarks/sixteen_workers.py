"""How busy many workers are: `python -m benchmarks.sixteen_workers [--workers 8]`, some minutes.

A session of 64 candidates runs on the real queue (Redis) and a real database (PostgreSQL), with sixteen worker
processes. A step waits for 20 to 40 seconds instead of working (`benchmarks.simulated_actors`), so that workers do not
compete for cores. Printed is the share of their time in which they ran a step, from the first candidate's start until
the last one was started: after that there is not work for all of them. The share of linear counts only the seconds that
the steps were made to take, so what claiming, storing and deciding cost is lost.

It makes a database and empties one index of Redis before and after: name others with `--database` and `--redis`.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from benchmarks.installation import REDIS, SERVER, installed, wait_until

DATABASE = f"{SERVER}/lathe_sixteen_workers"
LONGEST_S = 1800.0
CANDIDATES = 64


@dataclass(frozen=True)
class Bench:
    workers: int
    shortest_s: float
    longest_s: float


def main() -> None:
    asked = argparse.ArgumentParser(description="How busy many workers are with simulated steps.")
    asked.add_argument("--database", default=DATABASE)
    asked.add_argument("--redis", default=f"{REDIS}/11")
    asked.add_argument("--workers", type=int, default=16)
    asked.add_argument("--shortest", type=float, default=20.0, metavar="SECONDS", help="of a candidate's steps")
    asked.add_argument("--longest", type=float, default=40.0, metavar="SECONDS")
    given = asked.parse_args()
    bench = Bench(given.workers, given.shortest, given.longest)
    lengths = {"shortest_s": bench.shortest_s, "longest_s": bench.longest_s}
    with (
        installed(given.database, given.redis) as place,
        place.simulated_workers(bench.workers, candidates=CANDIDATES, **lengths),
    ):
        measure(bench)


def measure(bench: Bench) -> None:
    session = start()
    wait_until(lambda: _has_ended(session), "the session ends", LONGEST_S, every_s=1.0)
    steps = list(session.steps.filter(kind__in=("optimize", "evaluate"), finished_at__isnull=False))
    print(f"The session is {session.status}; {len(steps)} steps of candidates ran on {bench.workers} workers.")
    print(busy(steps, bench))


def _has_ended(session: Any) -> bool:
    session.refresh_from_db()
    return session.status in ("failed", "completed")


def start() -> Any:
    """A session on a model whose file is in the store."""
    from apps.agents.contracts.criteria import Budget, Criteria
    from apps.optimization.services import session_start
    from benchmarks.people import member, simulated_material

    user, team = member("somebody")
    version, dataset = simulated_material(team, user)
    budget = Budget(minutes=600, candidates=CANDIDATES)
    criteria = Criteria(budget=budget, forbidden_techniques=("onnx-graph",))
    return session_start(user=user, version=version, dataset=dataset, criteria=criteria, seed=7)


def busy(steps: list[Any], bench: Bench) -> str:
    """The shares of all workers' time in which they ran a step, and in which its own seconds passed, while there was
    work for all of them.
    """
    begin = min(step.started_at for step in steps)
    made = sorted(step.started_at for step in steps if step.kind == "optimize")
    end: datetime = made[-1]
    window_s = (end - begin).total_seconds()
    ran_s = own_s = 0.0
    for step in steps:
        within_s = max(0.0, (min(step.finished_at, end) - step.started_at).total_seconds())
        ran_s += within_s
        own_s += min(within_s, _length_s(step.pk, bench))
    busy_share, linear = (seconds / (bench.workers * window_s) for seconds in (ran_s, own_s))
    until = f"over {window_s:.0f} s, until the last of {len(made)} candidates was started"
    return f"{busy_share:.1%} busy and {linear:.1%} of linear {until}."


def _length_s(step: int, bench: Bench) -> float:
    from benchmarks.simulated_actors import length_s

    return length_s(f"step-{step}", bench.shortest_s, bench.longest_s)


if __name__ == "__main__":
    main()
