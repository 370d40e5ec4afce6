"""Whether the remaining time that a running session shows is true: `python -m benchmarks.remaining_time`, 15 minutes.

Sessions of both samples under two profiles run one after the other in a portal of its own, as a member would start
them. Twice a second, what page and API show is kept; at the end it is held against the time that was really left.

The bar: from a third of the way on, within a factor of 1.5, or within 12 seconds where less than 12 were left. Nothing
else may run on the machine. The first session is listed and not judged: no earlier one has shown how long steps take.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from apps.agents.contracts.criteria import PROFILES
from apps.agents.contracts.dataset_spec import DatasetSpec
from benchmarks import own_portal

if TYPE_CHECKING:
    from apps.optimization.models import OptimizationSession
    from lathe.processes import Supervisor

SAMPLES = own_portal.ROOT / "samples"
MODELS = ("fashion_resnet.onnx", "fashion_mobilenet.onnx")
FACTOR, BRIEF_S = 1.5, 12.0
FROM = 1 / 3
LOOK_EVERY_S = 0.5


@dataclass(frozen=True)
class Moment:
    """What a session shows at a time, and what is true."""

    at: float
    """The share of its time that is over."""
    left_s: float
    shown_s: float | None

    @property
    def is_true(self) -> bool:
        if self.shown_s is None:
            return False
        if self.left_s < BRIEF_S:
            return abs(self.shown_s - self.left_s) <= BRIEF_S
        return 1 / FACTOR <= self.shown_s / self.left_s <= FACTOR

    @property
    def ratio(self) -> float:
        return (self.shown_s or 0.0) / max(self.left_s, BRIEF_S)


def watched(supervisor: Supervisor, session: OptimizationSession) -> list[Moment]:
    """The session until its end."""
    from apps.models import clock
    from apps.optimization.progress import course_of

    seen: list[tuple[float, float | None]] = []
    began = clock.now()
    while session.is_active:
        now = clock.now()
        seen.append(((now - began).total_seconds(), course_of(session, session.steps.all(), now).eta_s))
        supervisor.wait(LOOK_EVERY_S)
        session.refresh_from_db()
    own_portal.must_be_completed(session)
    end_s = (clock.now() - began).total_seconds()
    return [Moment(at_s / end_s, end_s - at_s, shown_s) for at_s, shown_s in seen]


def described(name: str, moments: Sequence[Moment]) -> str:
    late = [moment for moment in moments if moment.at >= FROM]
    true = sum(moment.is_true for moment in late) / len(late)
    ratios = [moment.ratio for moment in late if moment.left_s >= BRIEF_S and moment.shown_s is not None]
    return (
        f"| {name} | {moments[0].left_s:.0f} | {true:.0%} | "
        f"{min(ratios, default=1):.2f} to {max(ratios, default=1):.2f} |"
    )


def sessions(rounds: int) -> Iterator[tuple[str, list[Moment]]]:
    spec = DatasetSpec(kind="npz", task="classification")
    with own_portal.workers() as supervisor:
        places = {
            model: own_portal.upload(supervisor, SAMPLES / model, SAMPLES / "fashion_mnist_test.npz", spec)
            for model in MODELS
        }
        for number in range(rounds):
            for model, place in places.items():
                for profile in ("balanced", "fastest"):
                    session = own_portal.start(*place, PROFILES[profile])
                    yield f"{model}, {profile}, round {number + 1}", watched(supervisor, session)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2, help="how often each session runs (2)")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="remaining-time-") as folder:
        own_portal.start_django(Path(folder))
        print("| session | seconds | true from a third on | shown : true |\n|---|---|---|---|", flush=True)
        judged: list[Moment] = []
        for number, (name, moments) in enumerate(sessions(rounds)):
            print(described(name, moments), flush=True)
            if number:
                judged += [moment for moment in moments if moment.at >= FROM]
    share = sum(moment.is_true for moment in judged) / len(judged)
    met = share == 1.0
    print(f"{share:.1%} of {len(judged)} moments are true. The bar is {'met' if met else 'not met'}.")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
