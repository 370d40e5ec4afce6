"""How much of the proof is made: enough to see that all of it works, a coffee's worth, or all of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Form:
    """Numbers of cases. Bounds take the noise of so few cases into account, so that a short form is only blunter."""

    takes: str
    choices: int
    """Sessions that choose among many candidates, simulated, for each line."""
    resamples: int
    """Samples of examples for each metric with an interval in closed form."""
    bootstraps: int
    """The same for one whose interval is a bootstrap."""
    simulated: int
    """Comparisons of made-up times."""
    equal: int
    """Sessions in which the original is its own candidate, timed in one process."""
    equal_fresh: int
    """The same, timed in fresh processes."""
    comparisons: int
    """Of one pair of models, in fresh processes."""
    seeds: int
    """Sessions on known-bad candidates, each with a split of its own."""
    alone: bool
    """Whether each of them has sessions of its own, besides those with all of them beside a good one."""
    busy: tuple[int, ...]
    """Programs beside the session, in turn; the first is what the others are held against."""
    demo_beside: int | None
    """Programs beside `make demo`, `None` where it is left out."""


FORMS = {
    "short": Form(
        takes="a minute of CPU time",
        choices=40,
        resamples=100,
        bootstraps=8,
        simulated=150,
        equal=1,
        equal_fresh=1,
        comparisons=2,
        seeds=1,
        alone=False,
        busy=(),
        demo_beside=None,
    ),
    "medium": Form(
        takes="a quarter of an hour",
        choices=500,
        resamples=1000,
        bootstraps=60,
        simulated=1000,
        equal=20,
        equal_fresh=6,
        comparisons=10,
        seeds=1,
        alone=True,
        busy=(0, 2, 8),
        demo_beside=None,
    ),
    "full": Form(
        takes="less than an hour",
        choices=2000,
        resamples=4000,
        bootstraps=400,
        simulated=4000,
        equal=200,
        equal_fresh=60,
        comparisons=60,
        seeds=4,
        alone=True,
        busy=(0, 2, 8),
        demo_beside=6,
    ),
}
