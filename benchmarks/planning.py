"""What planning the next step of a session costs: `python -m benchmarks.planning`, a few seconds.

The session has 200 planned candidates, of which some were measured. Printed is the processor time of one decision, the
median of several, from the state as it is read from the database to the steps, candidates and events that follow.
"""

from __future__ import annotations

import time
from statistics import median

from apps.agents.contracts.state import SessionState
from apps.agents.session.manager import OptimizationManager
from tests.agents.session.large import large_session

REPEATS = 7


def decision_ms(state: SessionState) -> float:
    manager = OptimizationManager()
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        manager.next(state)
        times.append(1000 * (time.process_time() - start))
    return median(times)


def main() -> None:
    for candidates, measured in ((50, 25), (200, 0), (200, 100), (200, 199)):
        milliseconds = decision_ms(large_session(candidates, measured))
        print(f"{candidates:3d} candidates, {measured:3d} measured: {milliseconds:4.0f} ms")


if __name__ == "__main__":
    main()
