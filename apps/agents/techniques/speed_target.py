"""Pruning to a measured speed: finds the smallest share of the work whose removal makes the model fast enough.

The share is found by bisection. Each try is an artifact with the widths for one share, timed beside the input model in
fresh processes (`apps.agents.measuring.fresh_processes`). Time depends on widths, not on values, so the weights of a
try need not be fitted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn, Self

from apps.agents.contracts.criteria import Target
from apps.agents.contracts.errors.techniques import TechniqueTooSlow
from apps.agents.contracts.phrasing import number
from apps.agents.contracts.reports.measurements import LatencyComparison
from apps.agents.measuring.effort import Effort, Question
from apps.agents.measuring.fresh_processes import FreshProcessTimer
from apps.agents.measuring.protocol import ModelFile
from apps.agents.techniques.base import Assignment

MOST_TRIES = 7
LEAST = 0.02
"""The smallest share considered. Techniques do not accept less."""
CLOSE = 0.02
"""The search ends when the bounds are this close."""
EFFORT = Effort(budget_s=4.0, warmup_s=0.5)


@dataclass(frozen=True)
class SpeedGoal:
    """How fast the pruned model must be. 0 asks for nothing."""

    speedup: float = 0.0
    latency_ms: float = 0.0

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> Self:
        return cls(float(parameters["speedup_wanted"]), float(parameters["latency_ms"]))

    @property
    def asked(self) -> bool:
        return self.speedup > 1 or self.latency_ms > 0

    @property
    def guess(self) -> float:
        """The share of the work whose removal would suffice if time were proportional to work."""
        return max(0.0, 1 - 1 / max(1.0, self.speedup))

    def met(self, timed: LatencyComparison) -> bool:
        fast = timed.speedup.value >= self.speedup
        return fast and (self.latency_ms <= 0 or timed.candidate.p50_ms <= self.latency_ms)

    def __str__(self) -> str:
        parts = [f"{number(self.speedup)} times as fast as before"] if self.speedup > 1 else []
        return " and ".join(parts + ([f"at most {number(self.latency_ms)} ms"] if self.latency_ms > 0 else []))


@dataclass(frozen=True)
class Try:
    """One share, and the measurements of its artifact."""

    macs_removed: float
    speedup: float
    latency_ms: float
    busy: bool
    """Whether other programs disturbed the timing, so that the speed-up is one of CPU time."""
    met: bool

    def plain(self) -> dict[str, Any]:
        """The numbers as plain JSON."""
        return {
            "macs_removed": round(self.macs_removed, 4),
            "speedup": round(self.speedup, 3),
            "latency_ms": round(self.latency_ms, 4),
            "busy": self.busy,
        }


@dataclass(frozen=True)
class Found:
    """The share to remove. After a search, also the tries as evidence, and the parameters that repeat the result
    without timing.
    """

    macs_removed: float
    evidence: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)


Timed = Callable[[float], LatencyComparison]
"""Times the artifact for a share."""


@dataclass
class SpeedSearch:
    """Looks for the smallest share, up to `most`, that meets the `goal`."""

    goal: SpeedGoal
    most: float
    """The largest share that can be removed, 0 to 1."""
    timed: Timed
    tell: Callable[[float, str], object]
    """Receives the progress of the search, 0 to 1, and what it is doing."""
    log: Callable[[str, Literal["warning"]], object]
    label: str
    """The technique's label, for errors."""
    tries: list[Try] = field(default_factory=list)

    def run(self) -> Found:
        """Raises `TechniqueTooSlow` if even the largest share does not meet the goal."""
        if not self._try(self.most).met:
            self._give_up()
        low, high = LEAST, self.most
        middle = self.goal.guess if low < self.goal.guess < high else (low + high) / 2
        while high - low > CLOSE and len(self.tries) < MOST_TRIES:
            low, high = (low, middle) if self._try(middle).met else (middle, high)
            middle = (low + high) / 2
        return Found(high, self._evidence(high), {"macs_removed": high, "speedup_wanted": 0.0, "latency_ms": 0.0})

    def _evidence(self, share: float) -> dict[str, Any]:
        chosen = next(one for one in self.tries if one.macs_removed == share)
        return {
            "speed_asked_for": str(self.goal),
            "speed_timed": f"{number(chosen.speedup)} times as fast, {number(chosen.latency_ms)} ms",
            "timed": [one.plain() for one in self.tries],
        }

    def _try(self, share: float) -> Try:
        self.tell(len(self.tries) / MOST_TRIES, f"timing it with {share:.0%} of the work removed")
        timed = self.timed(share)
        if timed.busy:
            self.log("Other programs disturbed this timing, so its speed-up is estimated from CPU time.", "warning")
        found = Try(share, timed.speedup.value, timed.candidate.p50_ms, timed.busy, self.goal.met(timed))
        self.tries.append(found)
        return found

    def _give_up(self) -> NoReturn:
        last = self.tries[-1]
        raise TechniqueTooSlow(
            technique=self.label,
            goal=str(self.goal),
            share=f"{last.macs_removed:.0%}",
            speedup=number(last.speedup),
            latency_ms=number(last.latency_ms),
        )


def time_beside(assignment: Assignment, artifact: Path, goal: SpeedGoal) -> LatencyComparison:
    """Times the assignment's model and `artifact` with one example, or with the model's fixed batch."""
    feeds = next(assignment.batches(1, 1))
    timer = FreshProcessTimer(
        original=ModelFile(format=assignment.format, path=assignment.model, signature=assignment.signature),
        candidate=ModelFile(format=assignment.spec.makes(assignment.format), path=artifact),
        scratch=assignment.scratch,
        effort=EFFORT,
    )
    target = Target(threads=assignment.threads, batch_size=assignment.dataset.layout.rows(feeds))
    return timer.compare(feeds, target, Question(assignment.seed, decide_at=(goal.speedup,) if goal.speedup else ()))
