"""Numbers, intervals and limits in words, for the sentences of verdicts."""

from __future__ import annotations

import math
from collections.abc import Sequence

from apps.agents.contracts.reports.constraints import Holds
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.reports.metrics import POINT_UNITS, MetricComparison
from apps.agents.contracts.reports.runtimes import Gains
from apps.agents.contracts.reports.slowdown import Slowdown

POINT_DECIMALS = 2
MAY_BE_CHANCE = "may be chance"
"""Said of a change whose interval includes 0 and reaches far from it."""
OF_ITS_VALUE = "% of its value"
"""The unit of a relative difference."""
MINUS = "\N{MINUS SIGN}"


def difference_unit(unit: str) -> str:
    """The unit of the difference of two numbers in `unit`."""
    return "points" if unit in POINT_UNITS else unit


def number(value: float, decimals: int = 8) -> str:
    """Three significant digits, at most `decimals` decimals, without an exponent, with a real minus sign."""
    if not math.isfinite(value):
        return "unknown" if math.isnan(value) else ("∞" if value > 0 else f"{MINUS}∞")
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{abs(value):,.{min(digits, decimals)}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return f"{MINUS}{text}" if value < 0 and text != "0" else text


def from_to(original: float, candidate: float) -> str:
    """Two values with as many decimals as two digits of their difference need: `from 46.71 to 46.83`."""
    apart = abs(original - candidate)
    if not (math.isfinite(original) and math.isfinite(candidate)) or apart == 0:
        return f"from {number(original)} to {number(candidate)}"
    decimals = min(8, max(0, 1 - math.floor(math.log10(apart))))
    before, after = (f"{value:,.{decimals}f}".replace("-", MINUS) for value in (original, candidate))
    return f"from {before} to {after}"


def difference(value: float, unit: str) -> str:
    """A difference without its unit: points and per cent with two decimals, other units with three digits."""
    return number(value, POINT_DECIMALS if unit in POINT_UNITS or unit == OF_ITS_VALUE else 8)


def column_number(value: float, digits: int = 3) -> str:
    """`value` for a column: about `digits` significant digits, with trailing zeros and a real minus sign."""
    text = f"{abs(value):,.{_column_decimals(abs(value), digits)}f}"
    if 0 < abs(value) < 1e-4:
        text = f"{abs(value):.{digits - 1}e}"
    return f"{MINUS}{text}" if value < 0 else text if value else "0"


def _column_decimals(size: float, digits: int) -> int:
    if size >= 10**digits:
        return 0
    return max(digits - len(str(int(size))), 0) if size >= 1 else digits


def scaled_bytes(count: float) -> tuple[float, str]:
    """A number of bytes in the decimal unit that file managers use, and that unit."""
    for unit in ("byte" if abs(count) == 1 else "bytes", "kB", "MB"):
        if abs(count) < 1000:
            return count, unit
        count /= 1000
    return count, "GB"


def number_of_bytes(count: float) -> str:
    """`11.2 MB`."""
    scaled, unit = scaled_bytes(count)
    return f"{number(scaled)} {unit}"


def duration(seconds: float) -> str:
    """`45 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, left = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {left} s" if left else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def with_unit(value: float, unit: str) -> str:
    """A difference with its unit."""
    text = difference(value, unit)
    return "1 point" if (unit, text) == ("points", "1") else f"{text} {unit}".strip()


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`; empty for an empty sequence."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def with_full_stop(sentence: str) -> str:
    """The sentence with exactly one full stop at its end."""
    return sentence if sentence.endswith(".") else f"{sentence}."


def disturbed_runs(runs: int, disturbed: int) -> str:
    """How many timed runs do not count, as a clause. Every sentence about a busy machine contains it."""
    return f"{disturbed:,} of {runs:,} timed runs were disturbed by other programs"


def named_few(names: Sequence[str], most: int = 5) -> str:
    """The first `most` names, and how many more there are: `a, b and 57 more`."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most:,} more"


def ordinal(count: int) -> str:
    """`7th`."""
    ending = "th" if 10 <= count % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(count % 10, "th")
    return f"{count:,}{ending}"


def gains_in_words(gains: Gains) -> str:
    """The sources of a speed-up: `197× from LiteRT, 1.03× from dynamic range`."""
    if gains.technique is None:
        return f"all of it from {gains.runtime}"
    return (
        f"{number(gains.runtime_speedup)}× from {gains.runtime}, {number(gains.technique_speedup)}× from "
        f"{gains.technique}"
    )


def signed(value: float, unit: str) -> str:
    """A change with its sign and unit: `+0.06 points`, `−0.3 points`."""
    text = with_unit(value, unit)
    return f"+{text}" if value > 0 and not text.startswith("0 ") and text != "0" else text


def moved(metric: MetricComparison, examples: int | None = None, confidence: float = 0.95) -> str:
    """How a metric changed: `fell 0.3 points`, `rose 0.12`, or `unchanged (+0.06 points)` if chance explains it.

    If chance may explain a change of which more is possible, what was measured, on how many `examples`, and the
    interval at `confidence`.
    """
    change, unit = metric.change, difference_unit(metric.unit)
    if metric.unchanged:
        return f"unchanged ({signed(change.value, unit)})" if change.value else "unchanged"
    if metric.maybe_chance:
        on = "the examples" if examples is None else f"{examples:,} examples"
        shown = signed(change.value, unit)
        return f"{shown}, which {on} cannot tell from no change{interval(change, confidence, unit)}"
    return f"{'fell' if change.value < 0 else 'rose'} {with_unit(abs(change.value), unit)}"


def slowdown_in_words(slowdown: Slowdown) -> str:
    """The operator whose time grew most, and the hints, in sentences. Empty if there are none."""
    grown = next((one for one in slowdown.operators if one.difference_ms is not None and one.difference_ms > 0), None)
    sentences = []
    if grown is not None:
        took = f"{number(grown.candidate_ms or 0.0)} ms instead of {number(grown.original_ms or 0.0)} ms"
        sentences.append(f"{grown.name} takes {took}.")
    return " ".join([*sentences, *slowdown.hints])


def interval_in_words(measured: Estimate, confidence: float, unit: str = "") -> str:
    """`95 % interval 1.2 to 1.4`; empty for an exact number."""
    if measured.low is None or measured.high is None or measured.low == measured.high:
        return ""
    sign = unit if unit == "×" else ""
    low, high = difference(measured.low, unit), difference(measured.high, unit)
    return f"{number(confidence * 100)} % interval {low}{sign} to {high}{sign}"


def interval(measured: Estimate, confidence: float, unit: str = "") -> str:
    """The interval in brackets, after a space; empty for an exact number."""
    words = interval_in_words(measured, confidence, unit)
    return f" ({words})" if words else ""


def against(status: Holds, limit: str, *, at_least: bool = False) -> str:
    """How a measurement compares with `limit`, as the end of a sentence."""
    if status is Holds.INCONCLUSIVE:
        return f"and the interval crosses {limit}"
    if status is Holds.HOLDS:
        return f"no less than {limit}" if at_least else f"within {limit}"
    return f"less than {limit}" if at_least else f"beyond {limit}"


def capitalized(sentence: str) -> str:
    """The sentence with its first letter in upper case and the rest unchanged."""
    return sentence[:1].upper() + sentence[1:]
