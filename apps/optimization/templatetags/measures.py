"""Formats numbers for people, each with its unit. An unknown value is a dash, never a zero."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from django import template
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from typing_extensions import TypeIs

from apps.agents.contracts import phrasing
from apps.agents.contracts.criteria import CountedSize
from apps.agents.contracts.dataset_spec import METRICS, Metric
from apps.agents.contracts.phrasing import MAY_BE_CHANCE, scaled_bytes
from apps.agents.contracts.reports.constraints import ConstraintVerdict
from apps.agents.contracts.reports.evaluation import EvaluationReport, Part
from apps.agents.contracts.reports.measurements import UNKNOWN as UNBOUNDED
from apps.agents.contracts.reports.measurements import Estimate, Pair
from apps.agents.contracts.reports.metrics import NARROW_POINTS, POINT_UNITS, MetricComparison
from apps.agents.contracts.reports.runtimes import Gains
from apps.agents.contracts.reports.slack import Slack
from apps.agents.contracts.state import Headline
from apps.agents.evaluation.decidability import round_up
from apps.agents.evaluation.selection import METRIC_CONSTRAINTS, REAL_CHANGE
from apps.agents.session import headline
from apps.optimization import conflict_sentences, resolution_titles, tiles
from apps.optimization import localized as written
from apps.optimization.localized import column_number, from_to, localized

register = template.Library()

UNKNOWN = "–"
MOST_FOUND = 20
"""Rows of what a technique found out, and entries of a list in one of them, that a page shows."""
Measured = float | Literal[""] | None
"""A number, or what a template passes for a missing one: `None`, or an empty string if the lookup fails."""
_BADGES = {
    "queued": "muted",
    "running": "info",
    "completed": "ok",
    "failed": "bad",
    "cancelled": "muted",
    "improved": "ok",
    "proven": "ok",
    "bad": "bad",
    "unchanged": "info",
    "good": "ok",
    "mixed": "warn",
    "open": "warn",
    "neutral": "info",
    "unmeasured": "void",
    "busy": "busy",
    "not_measured": "void",
    "planned": "muted",
    "rejected": "bad",
    "accepted": "ok",
    "selected": "accent",
    "skipped": "muted",
    "holds": "ok",
    "violated": "bad",
    "inconclusive": "warn",
    "pending": "info",
    "ready": "ok",
    "refused": "bad",
}


def unknown(value: Measured) -> TypeIs[Literal[""] | None]:
    return value is None or value == ""


@register.filter
def number(value: Measured, digits: int = 3) -> str:
    return UNKNOWN if unknown(value) else column_number(float(value), int(digits))


@register.filter
def ratio(value: Measured) -> str:
    """`4.21×`: original over candidate."""
    return UNKNOWN if unknown(value) else f"{column_number(float(value))}×"


@register.filter
def faster(latency: Any) -> str:
    """A `LatencyComparison` (value or mapping): `4.21×`, or *not known* if the machine was too busy to time it."""
    if not latency:
        return UNKNOWN
    return _("not known") if _part(latency, "busy") else ratio(_part(_part(latency, "speedup"), "value"))


@register.filter
def whose(gains: Gains) -> str:
    """The sources of the speed-up: `197× from LiteRT, 1.03× from dynamic range`."""
    if gains.technique is None:
        return _("all of it from {runtime}").format(runtime=gains.runtime)
    return _("{runtime_gain}× from {runtime}, {technique_gain}× from {technique}").format(
        runtime_gain=written.number(gains.runtime_speedup),
        runtime=gains.runtime,
        technique_gain=written.number(gains.technique_speedup),
        technique=gains.technique,
    )


@register.filter
def ms(value: Measured) -> str:
    return UNKNOWN if unknown(value) else f"{column_number(float(value))} ms"


@register.filter
def signed(points: float) -> str:
    """A change in points, with its sign unless it rounds to 0."""
    return localized(f"{points:+.2f}".replace("-", "−") if abs(points) >= 0.005 else "0.00")


@register.filter
def signed_ms(value: Measured) -> str:
    """A difference between times: `+3.2 ms` is longer."""
    return UNKNOWN if unknown(value) else f"{'+' if float(value) > 0 else ''}{column_number(float(value))} ms"


@register.filter
def size(value: Measured) -> str:
    """Bytes in decimal units, as used for disks and in papers: `11.2 MB`."""
    if unknown(value):
        return UNKNOWN
    scaled, unit = scaled_bytes(float(value))
    return f"{scaled:.0f} {_(unit)}" if unit in ("byte", "bytes") else f"{column_number(scaled)} {unit}"


@register.filter
def count(value: Measured) -> str:
    """`2.78 M`, `12.4 k`: parameters, multiply-accumulates."""
    if unknown(value):
        return UNKNOWN
    for unit, name in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if abs(value) >= unit:
            return f"{column_number(value / unit)} {name}"
    return f"{value:.0f}"


@register.filter
def duration(seconds: Measured) -> str:
    """`45 s`, `3 min 20 s`, `2 h 5 min`."""
    return UNKNOWN if unknown(seconds) else phrasing.duration(float(seconds))


@register.filter
def minutes_long(minutes: Measured) -> str:
    """`3 min 20 s` of a number of minutes."""
    return UNKNOWN if unknown(minutes) else phrasing.duration(60 * float(minutes))


@register.filter
def percent(share: Measured) -> str:
    """A share between 0 and 1 as `42 %`."""
    return UNKNOWN if unknown(share) else f"{share * 100:.0f} %"


@register.filter
def percent_of(share: Measured) -> str:
    """A share between 0 and 1 that may be small: `0.4 %`, `12 %`, `under 0.1 %`."""
    if unknown(share):
        return UNKNOWN
    if 0 < share < 0.001:
        return _("under {share}").format(share=localized("0.1 %"))
    return localized(f"{100 * share:.2g} %" if share < 0.995 else f"{100 * share:.0f} %")


@register.filter
def confidence(level: float) -> str:
    """`95 %`, `99.3 %`."""
    return localized(f"{100 * level:.6g} %")


@register.filter
def rounded(examples: int | None) -> str:
    """A number of examples, rounded up to two digits: `8,500`."""
    return UNKNOWN if examples is None else localized(f"{round_up(examples):,.0f}")


@register.filter
def interval(estimate: Any) -> str:
    """The interval of an `Estimate` (value or mapping): `4.02 to 4.41`; empty if the number is exact."""
    low, high = _part(estimate, "low"), _part(estimate, "high")
    return "" if low is None or high is None else from_to(_bound(low), _bound(high))


def _bound(value: float) -> str:
    """An end of an interval. Agents write an unbounded end as the largest number they know."""
    if abs(value) >= UNBOUNDED:
        return "∞" if value > 0 else "−∞"
    return column_number(value)


@register.filter
def change(drop: Any, higher_is_better: bool = True) -> str:
    """A drop of the metric as a change, candidate minus original: `−0.23` means lower.

    `drop` is a number, an `Estimate` (value or mapping), or a metric with its drop. The result is *unchanged* if it is
    0, or if its interval includes 0 and excludes a large change.
    """
    narrow = NARROW_POINTS
    if isinstance(drop, MetricComparison):
        drop, narrow = drop.drop, drop.narrow
    if unknown(drop):
        return UNKNOWN
    value = drop if isinstance(drop, (int, float)) else _part(drop, "value")
    if not value:
        return _("unchanged")
    moved = -value if higher_is_better else value
    text = column_number(abs(moved), 2)
    shown = f"{'−' if moved < 0 else '+'}{text}"
    if not _includes_zero(drop):
        return shown
    small = max(abs(_part(drop, "low")), abs(_part(drop, "high"))) <= narrow
    return f"{_('unchanged')} ({shown})" if small else f"{shown} ({_(MAY_BE_CHANCE)})"


@register.filter
def change_lines(drop: Any, higher_is_better: bool = True) -> str:
    """The same for a narrow column, with the part in brackets on a separate line."""
    first, _, rest = change(drop, higher_is_better).partition(" ")
    return format_html('{}<br><span class="soft small">{}</span>', first, rest) if rest else first


def _includes_zero(drop: Any) -> bool:
    low, high = (None, None) if isinstance(drop, (int, float)) else (_part(drop, "low"), _part(drop, "high"))
    return low is not None and high is not None and low <= 0 <= high


@register.filter
def as_measured(verdict: ConstraintVerdict, primary: MetricComparison) -> ConstraintVerdict:
    """A verdict for tables: the limit and measurement of a drop as changes in the metric, negative if lower."""
    if verdict.constraint not in METRIC_CONSTRAINTS or verdict.constraint == "max_output_deviation":
        return verdict
    higher = primary.higher_is_better
    if metric := verdict.metric or (verdict.subject if verdict.constraint == "metric_limits" else ""):
        higher = METRICS[Metric(metric)].higher_is_better
    if not higher:
        return verdict
    return verdict.model_copy(update={"limit": -verdict.limit, "measured": verdict.measured.negated()})


@register.filter
def measured_value(verdict: ConstraintVerdict) -> str:
    """The measurement for a limit. A change in the metric has its sign and the same precision as in sentences."""
    if verdict.constraint in METRIC_CONSTRAINTS and verdict.unit in POINT_UNITS:
        return written.signed(verdict.measured.value, verdict.unit)
    return bytes_or_number(verdict.measured.value, verdict.unit)


@register.filter
def measured_on(report: Any) -> str:
    """The basis of an `EvaluationReport` (value or mapping): `on 1,396 examples`, `on 697 validation examples`."""
    part, examples = _part(report, "part"), _part(report, "examples")
    words = _("on {number} validation examples") if part == Part.CHOOSING else _("on {number} examples")
    return words.format(number=localized(f"{examples:,}"))


@register.filter
def speed_tile(report: EvaluationReport) -> tiles.Tile:
    return tiles.speed_tile(report)


@register.filter
def size_tile(report: EvaluationReport) -> tiles.Tile:
    return tiles.size_tile(report)


@register.filter
def counted_ratio(report: Any) -> str:
    """How many times smaller, in the size that counts, of an `EvaluationReport` (value or mapping): `1.73×`."""
    return ratio(_part(_part(report, _COUNTED[_counted_size(report)]), "ratio")) if report else UNKNOWN


@register.filter
def other_size(report: Any) -> str:
    """The same in a size that does not count: `1.73× compressed`, `1× as a file`; empty if that is not known."""
    as_file = _counted_size(report) is CountedSize.FILE
    pair = _part(report, "compressed_bytes" if as_file else "size_bytes")
    words = _("{ratio} compressed") if as_file else _("{ratio} as a file")
    return words.format(ratio=ratio(_part(pair, "ratio"))) if pair else ""


_COUNTED = {
    CountedSize.FILE: "size_bytes",
    CountedSize.COMPRESSED: "compressed_bytes",
    CountedSize.TFLITE: "litert_bytes",
}


def _counted_size(report: Any) -> CountedSize:
    """Reports from before it could be chosen count the file."""
    return CountedSize(_part(report, "counted_size") or CountedSize.FILE)


@register.filter
def metric_tile(metric: MetricComparison) -> tiles.Tile:
    return tiles.metric_tile(metric)


@register.filter
def size_words(pair: Pair) -> str:
    """`3.91× smaller`, or `1.2× larger`."""
    return _moved(pair, _("{ratio} smaller"), _("{ratio} larger"))


@register.filter
def memory_words(pair: Pair) -> str:
    """`1.5× less`, or `1.2× more`."""
    return _moved(pair, _("{ratio} less"), _("{ratio} more"))


def _moved(pair: Pair, better: str, worse: str) -> str:
    match headline.ratio_move(pair.ratio, REAL_CHANGE):
        case headline.Move.BETTER:
            return better.format(ratio=ratio(pair.ratio))
        case headline.Move.WORSE:
            return worse.format(ratio=ratio(1 / max(pair.ratio, 1e-9)))
    return _("unchanged")


_TONES = {"good": gettext_lazy("better"), "mixed": gettext_lazy("mixed"), "open": gettext_lazy("not proven")}


@register.filter
def tone_word(shown: Headline | None, otherwise: str) -> str:
    """A headline in one word, for a badge: `better`, `mixed`, `not proven`; `otherwise` for any other tone."""
    return str(_TONES.get(shown.tone, otherwise)) if shown else otherwise


def _part(estimate: Any, name: str) -> Any:
    return estimate.get(name) if isinstance(estimate, Mapping) else getattr(estimate, name, None)


@register.filter
def tone(status: str) -> str:
    """The badge's tone of a status: `ok`, `warn`, `bad`, `info`, `accent` or `muted`."""
    return _BADGES.get(str(status), "muted")


@register.filter
def translated(word: str) -> str:
    """A word of the agents (`vocabulary`) in the page's language; a word that no catalogue has stays as it is."""
    return _(str(word))


@register.filter
def conflict_sentence(message: str) -> str:
    """What a conflict of criteria says, in the page's language."""
    return conflict_sentences.in_language(message)


@register.filter
def resolution_title(title: str) -> str:
    """What a resolution does, in the page's language."""
    return resolution_titles.in_language(title)


@register.filter
def words(code: str) -> str:
    """`max_metric_drop_points` → `max metric drop points`."""
    return str(code).replace("_", " ").replace("-", " ")


_LIMITS = {
    "max_metric_drop_points": gettext_lazy("Loss at most"),
    "max_metric_drop_relative": gettext_lazy("Loss at most, relative"),
    "max_metric_drop_unit": gettext_lazy("Loss at most"),
    "default_rise": gettext_lazy("Errors higher by at most, unless limited"),
    "max_group_drop_points": gettext_lazy("Loss of each group at most"),
    "metric_limits": gettext_lazy("Loss of further metrics at most"),
    "output_limits": gettext_lazy("Loss of further outputs at most"),
    "max_output_deviation": gettext_lazy("Other outputs deviate at most"),
    "max_group_drop_unit": gettext_lazy("Loss of each group at most"),
    "max_class_drop_points": gettext_lazy("Loss of each class at most"),
    "max_latency_ms": gettext_lazy("Latency at most"),
    "min_speedup": gettext_lazy("Faster by at least"),
    "max_size_bytes": gettext_lazy("Size at most"),
    "min_size_reduction": gettext_lazy("Smaller by at least"),
    "max_memory_bytes": gettext_lazy("Memory at most"),
    "busy": gettext_lazy("The machine was too busy to time it"),
}
_TESTS = {
    "mcnemar": gettext_lazy("McNemar's test"),
    "paired_bootstrap": gettext_lazy("paired bootstrap"),
    "paired_t": gettext_lazy("paired t-test"),
}


@register.filter
def limit_name(constraint: str) -> str:
    """The label of a field of `Constraints`: `Faster by at least`."""
    return str(_LIMITS.get(constraint, words(constraint)))


@register.filter
def subject_name(one: ConstraintVerdict | Slack) -> str:
    """The metric or output that a verdict is about, for people; empty if the limit tells."""
    return metric_label(one.subject) if one.constraint == "metric_limits" else one.subject


@register.filter
def in_points(metric: str) -> bool:
    """Whether the loss of a metric is in points."""
    return METRICS[Metric(metric)].unit in POINT_UNITS


@register.filter
def as_change(drop: Estimate, metric: str) -> Estimate:
    """A drop of `metric` as a change: candidate minus original."""
    return drop.negated() if METRICS[Metric(metric)].higher_is_better else drop


@register.filter
def higher_is_better(metric: str) -> bool:
    return METRICS[Metric(metric)].higher_is_better


@register.filter
def metric_label(metric: str) -> str:
    """The label of a metric: `top-1 accuracy`."""
    return _(METRICS[Metric(metric)].label)


@register.filter
def test_name(test: str) -> str:
    """The name of a statistical test in the literature."""
    return str(_TESTS.get(test, words(test)))


@register.filter
def without_prediction(reason: str) -> str:
    """A plan's reason without its predicted numbers, for tables that show them in columns."""
    return reason.partition(" Predicted ")[0]


@register.filter
def as_settings(parameters: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A candidate's parameters as names and texts, without empty ones."""
    return [(words(name), _shown(value)) for name, value in parameters.items() if value not in (None, "", [], (), {})]


@register.filter
def as_found(evidence: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a technique found out as names and texts, without what is empty: what stands in parts has a row for each."""
    rows = list(_found("", evidence))
    more = len(rows) - MOST_FOUND
    return (
        rows
        if more <= 0
        else [*rows[:MOST_FOUND], (_("and"), _("{number} more, listed in the API").format(number=more))]
    )


def _found(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _found(f"{name} {words(str(key))}".strip(), part)
    elif isinstance(value, (list, tuple)) and value and all(isinstance(one, Mapping) for one in value):
        yield name, _parts_shown(value)
    elif isinstance(value, (list, tuple)) and len(value) > MOST_FOUND:
        more = len(value) - MOST_FOUND
        yield name, _("{values} and {number} more").format(values=_shown(value[:MOST_FOUND]), number=more)
    elif value not in (None, "", [], ()):
        yield name, localized(f"{value:.6g}") if isinstance(value, float) else _shown(value)


def _parts_shown(parts: Sequence[Mapping[str, Any]]) -> str:
    """Names with their reasons, where the parts are such; a table of numbers is only counted."""
    if len(parts) <= MOST_FOUND and all({"name", "reason"} <= part.keys() for part in parts):
        return "; ".join(f"{part['name']}: {part['reason']}" for part in parts)
    return _("{number}, listed in the API").format(number=len(parts))


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, (list, tuple)):
        return ", ".join(str(one) for one in value)
    return str(value)


@register.filter
def lookup(mapping: Mapping[str, Any], key: str) -> Any:
    return mapping.get(key)


@register.filter
def bytes_or_number(value: Measured, unit: str) -> str:
    """A limit or a measurement in its unit: bytes as a size, a ratio with ×, otherwise the number and its unit."""
    if unit == "bytes":
        return size(value)
    if unit in ("×", "x"):
        return ratio(value)
    return f"{number(value)} {_(unit)}".rstrip() if not unknown(value) else UNKNOWN
