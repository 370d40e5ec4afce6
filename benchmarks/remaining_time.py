"""Whether the remaining time that a running session shows is true: `python -m benchmarks.remaining_time`, 15 minutes.

Sessions of both samples under two profiles run one after the other in a portal of its own, as a member would start
them. Twice a second, what page and API show is kept; at the end it is held against the time that was really left.

Below each session stand the steps during which the shown time was untrue. Then come the steps that waited for a quiet
machine before timing, why they did, and who used the cores meanwhile: where nothing else runs, none should.

The bar: from a third of the way on, within a factor of 1.5, or within 12 seconds where less than 12 were left. Nothing
else may run on the machine. The first session is listed and not judged: no earlier one has shown how long steps take.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING

from apps.agents.contracts.criteria import PROFILES
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.state import Status
from benchmarks import core_use, own_portal

if TYPE_CHECKING:
    from apps.optimization.models import OptimizationSession, SessionStep
    from lathe.processes import Supervisor

SAMPLES = own_portal.ROOT / "samples"
MODELS = ("fashion_resnet.onnx", "fashion_mobilenet.onnx")
FACTOR, BRIEF_S = 1.5, 12.0
FROM = 1 / 3
LOOK_EVERY_S = 0.5
LOOKS_WITHIN_S = 4.0
"""So shortly before a wait would end, it is looked at who used the cores: the look itself uses them too."""


@dataclass(frozen=True)
class Moment:
    """What a session shows at a time, and what is true."""

    at: float
    """The share of its time that is over."""
    left_s: float
    shown_s: float | None
    under_way: tuple[str, ...]
    """The keys of the steps that ran."""

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


@dataclass
class Waits:
    """Which steps waited for a quiet machine, why, and who used the cores meanwhile."""

    reasons: dict[str, str] = field(default_factory=dict)
    began: dict[str, core_use.Moment] = field(default_factory=dict)
    used: dict[str, str] = field(default_factory=dict)

    def look(self, steps: Iterable[SessionStep]) -> None:
        for step in steps:
            if not step.quiet_left_s:
                continue
            self.reasons[step.key] = step.message
            began = self.began.get(step.key)
            if began is None:
                self.began[step.key] = core_use.Moment.now()
            elif step.quiet_left_s < LOOKS_WITHIN_S and step.key not in self.used:
                self.used[step.key] = core_use.told(began, core_use.Moment.now())

    @property
    def lines(self) -> list[str]:
        return [f"  {step}: {why}; {self.used.get(step, 'a short wait')}" for step, why in self.reasons.items()]


@dataclass(frozen=True)
class Watched:
    """A session from its start to its end."""

    name: str
    moments: Sequence[Moment]
    waits: Waits

    @property
    def late(self) -> list[Moment]:
        """The moments that the bar is about."""
        return [moment for moment in self.moments if moment.at >= FROM]

    @property
    def described(self) -> str:
        true = sum(moment.is_true for moment in self.late) / len(self.late)
        ratios = [one.ratio for one in self.late if one.left_s >= BRIEF_S and one.shown_s is not None]
        row = (
            f"| {self.name} | {self.moments[0].left_s:.0f} | {true:.0%} | "
            f"{min(ratios, default=1):.2f} to {max(ratios, default=1):.2f} |"
        )
        return "\n".join((row, *self._untrue, *self.waits.lines))

    @property
    def _untrue(self) -> Iterator[str]:
        """The steps during which too much or too little was shown."""
        for under_way, together in groupby(self.late, key=lambda moment: moment.under_way):
            if untrue := [moment for moment in together if not moment.is_true]:
                first, last = untrue[0], untrue[-1]
                shown = "nothing" if first.shown_s is None else f"{first.shown_s:.0f} s"
                yield (
                    f"  untrue in {len(untrue)} moments of {', '.join(under_way) or 'no step'}: {first.left_s:.0f} to "
                    f"{last.left_s:.0f} s before the end; the first showed {shown}"
                )


def watched(name: str, supervisor: Supervisor, session: OptimizationSession) -> Watched:
    """The session until its end."""
    from apps.models import clock
    from apps.optimization.progress import course_of

    seen: list[tuple[float, float | None, tuple[str, ...]]] = []
    waits = Waits()
    began = clock.now()
    while session.is_active:
        now = clock.now()
        steps = list(session.steps.all())
        under_way = tuple(step.key for step in steps if step.status == Status.RUNNING)
        seen.append(((now - began).total_seconds(), course_of(session, steps, now).eta_s, under_way))
        waits.look(steps)
        supervisor.wait(LOOK_EVERY_S)
        session.refresh_from_db()
    own_portal.must_be_completed(session)
    end_s = (clock.now() - began).total_seconds()
    return Watched(name, [Moment(at_s / end_s, end_s - at_s, shown_s, keys) for at_s, shown_s, keys in seen], waits)


def sessions(rounds: int) -> Iterator[Watched]:
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
                    yield watched(f"{model}, {profile}, round {number + 1}", supervisor, session)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2, help="how often each session runs (2)")
    parser.add_argument("--most", type=int, help="end after so many sessions (all)")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="remaining-time-") as folder:
        own_portal.start_django(Path(folder))
        print("| session | seconds | true from a third on | shown : true |\n|---|---|---|---|", flush=True)
        judged: list[Moment] = []
        for number, session in enumerate(islice(sessions(chosen.rounds), chosen.most)):
            print(session.described, flush=True)
            if number:
                judged += session.late
    share = sum(moment.is_true for moment in judged) / len(judged)
    met = share == 1.0
    print(f"{share:.1%} of {len(judged)} moments are true. The bar is {'met' if met else 'not met'}.")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
