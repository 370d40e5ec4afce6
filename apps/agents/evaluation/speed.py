"""The speed part of an evaluation: times both models, and again if the speed-up is too good to be true."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from apps.agents.contracts.context import Context
from apps.agents.contracts.criteria import Criteria, Target
from apps.agents.contracts.phrasing import disturbed_runs, number
from apps.agents.contracts.reports.measurements import Estimate, LatencyComparison
from apps.agents.datasets.layout import Layout
from apps.agents.evaluation.pace import Pace
from apps.agents.measuring.effort import Question
from apps.agents.measuring.engine import Engine, Feeds, fixed_batch
from apps.agents.measuring.timer import Timer

NOISY = 0.05
"""How far the control may be from 1 before a note reports it."""
CONTRADICTION = 1.25
"""How far wall clock and CPU time may differ before a note reports it. Shared caches affect CPU time, too."""

TooFast = Callable[[Estimate], str | None]
"""Why a speed-up is too good to be true, in a sentence; `None` if it is not."""


@dataclass(frozen=True)
class Timed:
    latency: LatencyComparison
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Speed:
    """How two models are timed: by `timer`, and by `again` if the first result is impossible."""

    timer: Timer
    again: Timer
    context: Context
    pace: Pace
    rest_s: float = 0.0
    """Seconds that the job needs after the timing."""

    def measure(self, feeds: Feeds, target: Target, criteria: Criteria, seed: int, too_fast: TooFast) -> Timed:
        """Time both models on `feeds`, one batch. An implausible speed-up is measured again, and that result counts."""
        asked = criteria.constraints.min_speedup
        question = Question(seed, criteria.confidence, () if asked is None else (asked,))
        latency = self._by(self.timer, feeds, target, question)
        notes: tuple[str, ...] = ()
        if (why := too_fast(latency.speedup)) is not None:
            self.context.log(f"{why} Both are timed again before this is believed.", "warning")
            first = number(latency.speedup.value)
            latency = self._by(self.again, feeds, target, replace(question, seed=seed + 1))
            notes = (
                f"Timed twice, because the first speed-up, {first}×, was too good to be true. This is the second.",
            )
        if not latency.busy:
            self.context.metric("speedup", latency.speedup.value)
        return Timed(latency, (*notes, *remarks(latency)))

    def _by(self, timer: Timer, feeds: Feeds, target: Target, question: Question) -> LatencyComparison:
        self.pace.reached("Warming up for timing", timer.expected_s + self.rest_s)

        def watch(_done: float, left_s: float | None) -> None:
            self.pace.reached("Timing both models in turn", None if left_s is None else left_s + self.rest_s)

        return timer.compare(feeds, target, question, watch)


def timing_target(
    original: Engine, candidate: Engine, wanted: Target, layout: Layout
) -> tuple[Target, tuple[str, ...]]:
    """The target at a batch size that both models accept, and a note if that is not the requested one."""
    fixed = fixed_batch(original.summary.inputs, layout) or fixed_batch(candidate.summary.inputs, layout)
    if fixed is None or fixed == wanted.batch_size:
        return wanted, ()
    note = f"Timed at batch size {fixed}, which the model was exported with, instead of {wanted.batch_size}."
    return wanted.model_copy(update={"batch_size": fixed}), (note,)


def remarks(latency: LatencyComparison) -> tuple[str, ...]:
    """Oddities of the timing, one sentence each."""
    return tuple(note for note in (_busy(latency), _noise(latency), _contradiction(latency)) if note)


def _busy(latency: LatencyComparison) -> str | None:
    if not latency.busy:
        return None
    return (
        f"The machine is too busy for timing: {disturbed_runs(latency.runs, latency.disturbed)}. The speed-up is not "
        "known."
    )


def _noise(latency: LatencyComparison) -> str | None:
    off = abs(latency.control.value - 1)
    if latency.busy or off < NOISY:
        return None
    return (
        f"Timing the original against itself gave a difference of {off * 100:.0f} %. Speed-ups this close to 1 mean "
        "nothing on the machine in this state."
    )


def _contradiction(latency: LatencyComparison) -> str | None:
    by_cpu = latency.cpu_speedup
    if latency.busy or by_cpu is None:
        return None
    apart = max(latency.speedup.value / by_cpu.value, by_cpu.value / latency.speedup.value)
    if apart < CONTRADICTION:
        return None
    return (
        f"By CPU time the candidate is {number(by_cpu.value)} times as fast, by wall clock "
        f"{number(latency.speedup.value)} times: one of them waits, or the machine was busier than its runs show."
    )
