"""The large numbers of a verdict, in the language of the page."""

from __future__ import annotations

import math
from typing import NamedTuple

from django.utils.translation import gettext as _

from apps.agents.contracts.phrasing import MAY_BE_CHANCE, difference_unit
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.reports.measurements import UNKNOWN as UNBOUNDED
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.reports.metrics import MetricComparison
from apps.agents.evaluation.selection import REAL_CHANGE, noise_ratio
from apps.agents.session.headline import Move, ratio_move, speed_move
from apps.optimization.localized import difference, from_to, number, number_of_bytes, signed_number


class Tile(NamedTuple):
    """One of a verdict's large numbers: its label, the number, and its interval."""

    label: str
    value: str
    range: str


def speed_tile(report: EvaluationReport) -> Tile:
    """*Faster* or *Slower* by a factor above 1, or *as before* if noise explains the difference."""
    speedup, move = report.latency.speedup, speed_move(report.latency, noise_ratio(report))
    if move is Move.WORSE:
        slowed = Estimate(value=_inverse(speedup.value) or 0.0, low=_inverse(speedup.high), high=_inverse(speedup.low))
        return Tile(_("Slower"), f"{number(slowed.value)}×", _range(slowed))
    if move is Move.UNKNOWN:
        return Tile(_("Speed"), _("not known"), _("the machine was too busy"))
    if move is Move.SAME:
        words = _("measured {value}×, {range}").format(value=number(speedup.value), range=_range(speedup))
        return Tile(_("Speed"), _("as before"), words)
    return Tile(_("Faster"), f"{number(speedup.value)}×", _range(speedup))


def size_tile(report: EvaluationReport) -> Tile:
    """*Smaller* or *Larger* by a factor above 1. Its range shows both sizes."""
    pair = report.counted_bytes
    when = f", {_(report.counted_size.manner)}" if report.counted_size.manner else ""
    sizes = f"{number_of_bytes(pair.original)} → {number_of_bytes(pair.candidate)}{when}"
    match ratio_move(pair.ratio, REAL_CHANGE):
        case Move.BETTER:
            return Tile(_("Smaller"), f"{number(pair.ratio)}×", sizes)
        case Move.WORSE:
            return Tile(_("Larger"), f"{number(_inverse(pair.ratio) or 0.0)}×", sizes)
    return Tile(_("Size"), _("as before"), sizes)


def metric_tile(metric: MetricComparison) -> Tile:
    """The change, candidate minus original: negative is lower. *unchanged* if chance explains it and a large change is
    excluded."""
    unit, change = difference_unit(metric.unit), metric.change
    label = _("Change, in {unit}").format(unit=_(unit)) if unit else _("Change")
    shown, interval = signed_number(change.value, unit), _range(change, unit)
    if metric.unchanged:
        return Tile(label, _("unchanged"), _unchanged(shown if change.value else "", interval))
    return Tile(label, shown, f"{interval}{f', {_(MAY_BE_CHANCE)}' if metric.maybe_chance else ''}")


def _unchanged(measured: str, interval: str) -> str:
    if not interval:
        return _("exactly")
    return _("measured {value}, {range}").format(value=measured, range=interval) if measured else interval


def _inverse(value: float | None) -> float | None:
    return None if value is None else 1 / max(value, 1e-9)


def _range(estimate: Estimate, unit: str = "") -> str:
    """`4.02 to 4.41`; empty for an exact number."""
    if estimate.low is None or estimate.high is None or estimate.low == estimate.high:
        return ""
    return from_to(_end(estimate.low, unit), _end(estimate.high, unit))


def _end(value: float, unit: str) -> str:
    """An end of an interval. A very large number means that it is not bounded."""
    return difference(math.copysign(math.inf, value) if abs(value) >= UNBOUNDED else value, unit)
