"""The plots of a report, ready for its templates: blocks, classes, layers.

They are drawn as SVG without a script, so the pages, the report in the package and its print show the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from django.utils.translation import gettext as _

from apps.agents.contracts.reports.analysis import AnalysisReport, Layer
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.reports.measurements import Estimate
from apps.optimization.curves import Chart, round_step
from apps.optimization.localized import localized

MOST_BARS = 40
"""The maximum number of bars. The tables contain everything."""
MOST_FRAGILE = 10
"""How many of the layers shown are chosen by sensitivity, regardless of their time."""
FRAGILE_DB = 30.0
"""Below this, quantizing the layer affects the output noticeably."""
TICKS = 5


@dataclass(frozen=True)
class Ratio:
    """A ratio of latencies with its interval; `x`, `left` and `width` are percentages of the picture's width."""

    name: str
    estimate: Estimate
    x: float
    left: float
    width: float


@dataclass(frozen=True)
class Ratios:
    """Ratios on one axis from 0. `one` is where 1 lies: equally fast."""

    rows: tuple[Ratio, ...]
    one: float
    ticks: tuple[tuple[str, float], ...]
    """Round values, each with its position in percent."""


@dataclass(frozen=True)
class Blocks:
    """Each block's median, and two ratios: the speed-up, and the original against itself."""

    chart: Chart
    ratios: Ratios


@dataclass(frozen=True)
class ClassBar:
    """The change in the recall of a class. `left` and `width` are percentages of the picture's width."""

    label: str
    change_points: float
    examples: int
    left: float
    width: float


@dataclass(frozen=True)
class ClassBars:
    rows: tuple[ClassBar, ...]
    zero: float
    """Where no change lies, in percent."""
    further: int
    """How many classes changed less than those shown."""


@dataclass(frozen=True)
class LayerBar:
    """A layer's share and sensitivity; `None` where not measured. Lengths are percentages of the longest bar."""

    layer: Layer
    share: float | None
    share_width: float
    sqnr_width: float
    """A ratio below 0 dB has no length."""
    fragile: bool


@dataclass(frozen=True)
class LayerBars:
    rows: tuple[LayerBar, ...]
    share_of: str
    """What the shares are of: time, or multiply-accumulates if no layer was timed."""
    shares: bool
    sensitivities: bool
    further: int
    """How many layers the table has beyond these."""


def blocks(evaluation: EvaluationReport) -> Blocks:
    latency = evaluation.latency
    medians = {"original": latency.original_blocks_ms, "candidate": latency.candidate_blocks_ms}
    chart = Chart({name: list(enumerate(values, start=1)) for name, values in medians.items()})
    named = {_("original against itself"): latency.control, _("original over candidate"): latency.speedup}
    return Blocks(chart, _ratios(named))


def _ratios(named: dict[str, Estimate]) -> Ratios:
    ends = {name: _ends(one) for name, one in named.items()}
    end = 1.05 * max(1.0, *(high for _, high in ends.values()))

    def place(value: float) -> float:
        return round(100 * value / end, 2)

    rows = [
        Ratio(name, one, place(one.value), place(ends[name][0]), place(ends[name][1] - ends[name][0]))
        for name, one in named.items()
    ]
    step = round_step(end / TICKS)
    ticks = [(localized(f"{number * step:g}"), place(number * step)) for number in range(math.floor(end / step) + 1)]
    return Ratios(tuple(rows), place(1.0), tuple(ticks))


def _ends(one: Estimate) -> tuple[float, float]:
    """The interval; of an exact number, the number itself."""
    return one.value if one.low is None else one.low, one.value if one.high is None else one.high


def classes(evaluation: EvaluationReport) -> ClassBars:
    """The change in the recall of each class, in points. If there are many classes, only those that changed most."""
    changes = [(one.label, one.candidate_recall - one.original_recall, one.examples) for one in evaluation.classes]
    shown = changes if len(changes) <= MOST_BARS else sorted(changes, key=lambda one: -abs(one[1]))[:MOST_BARS]
    lowest = min((points for _, points, _ in shown if points < 0), default=0.0)
    highest = max((points for _, points, _ in shown if points > 0), default=0.0)
    span = highest - lowest or 1.0

    def place(points: float) -> float:
        return round(100 * (points - lowest) / span, 2)

    rows = [
        ClassBar(label, points, examples, place(min(0.0, points)), round(100 * abs(points) / span, 2))
        for label, points, examples in shown
    ]
    return ClassBars(tuple(rows), place(0.0), len(changes) - len(shown))


Share = Callable[[Layer], float | None]
"""A layer's share of the whole, 0 to 1."""


def layers(analysis: AnalysisReport) -> LayerBars | None:
    """Time and sensitivity of each layer, in the order of the graph; `None` if neither is known.

    If no layer was timed, the share of multiply-accumulates is used instead.
    """
    timed = any(layer.time_share is not None for layer in analysis.layers)
    share = share_of_time if timed else _share_of_work(analysis.layers)
    chosen = telling_layers(analysis.layers, share)
    if not chosen:
        return None
    shares = [share(layer) for layer in chosen]
    longest = max((one for one in shares if one is not None), default=0.0) or 1.0
    loudest = max((one.sqnr_db for one in chosen if one.sqnr_db is not None), default=0.0)
    loudest = max(loudest, 1.0)
    rows = [
        LayerBar(
            layer=layer,
            share=part,
            share_width=round(100 * (part or 0.0) / longest, 2),
            sqnr_width=round(100 * max(0.0, layer.sqnr_db or 0.0) / loudest, 2),
            fragile=layer.sqnr_db is not None and layer.sqnr_db < FRAGILE_DB,
        )
        for layer, part in zip(chosen, shares, strict=True)
    ]
    return LayerBars(
        rows=tuple(rows),
        share_of=_("time") if timed else _("multiply-accumulates"),
        shares=any(part is not None for part in shares),
        sensitivities=any(layer.sqnr_db is not None for layer in chosen),
        further=len(analysis.layers) - len(chosen),
    )


def share_of_time(layer: Layer) -> float | None:
    return layer.time_share


def _share_of_work(every: Iterable[Layer]) -> Share:
    total = sum(layer.macs or 0 for layer in every)
    return lambda layer: layer.macs / total if layer.macs is not None and total else None


def telling_layers(every: Iterable[Layer], share: Share = share_of_time) -> list[Layer]:
    """The layers to plot: the largest and the most fragile of the measured ones."""
    known = [layer for layer in every if share(layer) is not None or layer.sqnr_db is not None]
    if len(known) <= MOST_BARS:
        return known
    fragile = sorted((one for one in known if one.sqnr_db is not None), key=lambda one: one.sqnr_db or 0.0)
    large = sorted(known, key=lambda one: -(share(one) or 0.0))
    chosen = {id(one) for one in fragile[:MOST_FRAGILE]}
    for one in large:
        if len(chosen) == MOST_BARS:
            break
        chosen.add(id(one))
    return [layer for layer in known if id(layer) in chosen]
