"""The rows of a comparison: one quantity each, with a cell for each side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from pydantic import Field

from apps.agents.contracts.phrasing import capitalized, difference_unit
from apps.agents.contracts.reports.evaluation import EvaluationReport, Part
from apps.agents.contracts.reports.measurements import UNKNOWN, Estimate
from apps.agents.contracts.values import Value
from apps.agents.evaluation.pareto import apart
from apps.agents.techniques.artifact_format import runtime_of
from apps.agents.techniques.compatibility import format_label
from apps.optimization.criteria_diff import in_words, leaves, questions_by_path
from apps.optimization.localized import column_number, from_to, localized, number_of_bytes, signed
from apps.optimization.side_by_side.difference import Compared, Difference
from apps.optimization.side_by_side.readings import MetricReading, Reading
from apps.optimization.side_by_side.sides import Side
from apps.optimization.templatetags.measures import limit_name

NOTHING = "–"


class Cell(Value):
    """One quantity of one side: in words, and as a number with its interval where it is one."""

    words: str = NOTHING
    interval: str = ""
    """In words; empty for an exact number."""
    value: float | None = None
    low: float | None = None
    high: float | None = None


class Row(Compared):
    """One quantity of all sides, in their order. Numbers with intervals differ only if two of those do not overlap."""

    label: str
    cells: tuple[Cell, ...]
    unit: str = ""
    higher_is_better: bool | None = None


class Section(Value):
    """Rows that belong together; those that differ come first."""

    name: str = Field(exclude=True)
    """Of the section, whatever the language of its title is: `measured`."""
    title: str
    rows: tuple[Row, ...]

    @property
    def differing(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.differs)


_TITLES: dict[str, Promise] = {
    "measured": gettext_lazy("Measured"),
    "origin": gettext_lazy("Origin"),
    "recipe": gettext_lazy("Recipe"),
    "limits": gettext_lazy("Limits"),
    "criteria": gettext_lazy("Criteria"),
}


def sections_of(sides: Sequence[Side]) -> tuple[Section, ...]:
    """All sections that have a row, in their order."""
    found = {
        "measured": [*_metric_rows(sides), *_speed_rows(sides), *_size_rows(sides)],
        "origin": list(_origin_rows(sides)),
        "recipe": list(_recipe_rows(sides)),
        "limits": list(_limit_rows(sides)),
        "criteria": list(_criteria_rows(sides)),
    }
    return tuple(
        Section(name=name, title=str(_TITLES[name]), rows=tuple(sorted(rows, key=lambda row: not row.differs)))
        for name, rows in found.items()
        if rows
    )


# --- cells and rows ---------------------------------------------------------------------------------------------------


def _row(label: str, cells: Iterable[Cell], *, measured: bool = False, **more: Any) -> Iterator[Row]:
    """The row, unless no side has anything to say. What was not `measured` of a side is no difference."""
    all_cells = tuple(cells)
    known = [cell for cell in all_cells if cell.words != NOTHING]
    if known:
        found = _difference(known if measured else all_cells)
        if len(known) < len(all_cells) and found is not Difference.DIFFERS:
            found = Difference.NOT_KNOWN
        yield Row(label=label, cells=all_cells, difference=found, **more)


def _difference(cells: Sequence[Cell]) -> Difference:
    if len({cell.words for cell in cells}) == 1:
        return Difference.SAME
    measured = [Estimate(value=one.value, low=one.low, high=one.high) for one in cells if one.value is not None]
    if len(measured) < len(cells) or not any(one.interval for one in cells):
        return Difference.DIFFERS
    far = any(apart(one, other) for place, one in enumerate(measured) for other in measured[:place])
    return Difference.DIFFERS if far else Difference.NOT_SHOWN


def _texts(label: str, sides: Sequence[Side], text: Callable[[Side], Any]) -> Iterator[Row]:
    yield from _row(label, (Cell(words=str(found)) if (found := text(side)) else Cell() for side in sides))


def _estimate(measured: Estimate | None, words: Callable[[float], str]) -> Cell:
    if measured is None:
        return Cell()
    low, high = measured.low, measured.high
    known = low is not None and high is not None and max(abs(low), abs(high)) < UNKNOWN
    interval = from_to(words(low), words(high)) if known and low is not None and high is not None else ""
    return Cell(words=words(measured.value), interval=interval, value=measured.value, low=low, high=high)


def _exact(value: float | None, words: Callable[[float], str]) -> Cell:
    return Cell() if value is None else Cell(words=words(value), value=value)


def _readings(label: str, sides: Sequence[Side], cell: Callable[[Reading], Cell], **more: Any) -> Iterator[Row]:
    yield from _row(label, (cell(side.reading) if side.reading else Cell() for side in sides), measured=True, **more)


def _times(value: float) -> str:
    return f"{column_number(value)}×"


def _ms(value: float) -> str:
    return f"{column_number(value)} ms"


# --- what was measured ------------------------------------------------------------------------------------------------


def _metric_rows(sides: Sequence[Side]) -> Iterator[Row]:
    """Every metric that any side has. The change is in the metric's own direction: a negative number is lower."""
    known = {one.metric: one for side in sides if side.reading for one in side.reading.metrics}
    for name, one in known.items():
        more: dict[str, Any] = {"higher_is_better": one.higher_is_better}
        label = capitalized(_(one.label))
        values = (_value(_metric(side, name)) for side in sides)
        yield from _row(label, values, measured=True, unit=one.unit, **more)
        cells = (_change(_metric(side, name)) for side in sides)
        yield from _row(
            _("{metric}, change").format(metric=label), cells, measured=True, unit=difference_unit(one.unit), **more
        )
    yield from _readings(_("Measured on"), sides, lambda one: Cell(words=_measured_on(one)))


def _metric(side: Side, name: str) -> MetricReading | None:
    return next((one for one in side.reading.metrics if one.metric == name), None) if side.reading else None


def _value(one: MetricReading | None) -> Cell:
    return _estimate(one.value, lambda value: f"{column_number(value, 4)} {_(one.unit)}".strip()) if one else Cell()


def _change(one: MetricReading | None) -> Cell:
    unit = difference_unit(one.unit) if one else ""
    return _estimate(one.change, lambda value: signed(value, unit)) if one else Cell()


def _measured_on(one: Reading) -> str:
    words = _("{number} validation examples") if one.part is Part.CHOOSING else _("{number} test examples")
    return words.format(number=localized(f"{one.examples:,}"))


def _speed_rows(sides: Sequence[Side]) -> Iterator[Row]:
    lower, higher = {"higher_is_better": False}, {"higher_is_better": True}
    yield from _readings(_("Latency, p50"), sides, lambda one: _estimate(one.latency_ms, _ms), unit="ms", **lower)
    yield from _readings(_("Latency, p95"), sides, lambda one: _exact(one.p95_ms, _ms), unit="ms", **lower)
    yield from _readings(
        _("Throughput"),
        sides,
        lambda one: _exact(
            one.throughput_per_s, lambda value: _("{number} per second").format(number=column_number(value))
        ),
        unit="examples/s",
        **higher,
    )
    yield from _readings(_("Faster"), sides, lambda one: _estimate(one.speedup, _times), unit="×", **higher)
    yield from _readings(_("Threads"), sides, lambda one: Cell(words=str(one.threads)))
    yield from _readings(_("Batch size"), sides, lambda one: Cell(words=str(one.batch_size)))


def _size_rows(sides: Sequence[Side]) -> Iterator[Row]:
    lower: dict[str, Any] = {"unit": "bytes", "higher_is_better": False}
    sizes = (side.size_bytes or (side.reading.size_bytes if side.reading else None) for side in sides)
    yield from _row(_("Size"), (_exact(size, number_of_bytes) for size in sizes), **lower)
    yield from _readings(_("Compressed"), sides, lambda one: _exact(one.compressed_bytes, number_of_bytes), **lower)
    yield from _readings(
        _("Smaller"), sides, lambda one: _exact(one.size_ratio, _times), unit="×", higher_is_better=True
    )
    yield from _readings(_("Peak memory"), sides, lambda one: _exact(one.peak_memory_bytes, number_of_bytes), **lower)


# --- where it came from -----------------------------------------------------------------------------------------------


def _origin_rows(sides: Sequence[Side]) -> Iterator[Row]:
    versions = sides[0].session is None
    yield from _texts(_("Version") if versions else _("Original"), sides, lambda side: side.version)
    yield from _texts(_("Aliases"), sides, lambda side: ", ".join(side.aliases))
    yield from _texts(_("Format"), sides, lambda side: format_label(side.format) if side.format else "")
    yield from _texts(_("Runtime"), sides, lambda side: runtime_of(side.format) if side.format else "")
    yield from _texts(
        _("Parameters"), sides, lambda side: localized(f"{side.summary.parameters:,}") if side.summary else ""
    )
    yield from _texts(_("Machine"), sides, lambda side: side.machine)
    if versions:
        return
    yield from _texts(_("Data set"), sides, lambda side: side.session and side.session.dataset.name)
    yield from _texts(_("Criteria"), sides, lambda side: side.session and (side.session.criteria_set or _("its own")))
    yield from _texts(_("Session"), sides, lambda side: side.session and side.session.get_status_display())
    yield from _texts(_("Outcome"), sides, lambda side: side.session and side.session.get_outcome_display())
    yield from _texts(_("Candidate"), sides, lambda side: side.candidate and side.candidate.get_status_display())
    yield from _texts(_("Seed"), sides, lambda side: side.session and str(side.session.seed))


def _recipe_rows(sides: Sequence[Side]) -> Iterator[Row]:
    """The techniques in the order in which they first appear, each followed by its parameters."""
    known = dict.fromkeys((link.technique, link.title) for side in sides for link in side.chain)
    if known:
        yield from _texts(_("Chain"), sides, lambda side: " → ".join(link.title for link in side.chain) or _("none"))
    for technique, title in known:
        names = dict.fromkeys(
            name for side in sides for link in side.chain if link.technique == technique for name in link.parameters
        )
        for name in names:
            label = f"{title}: {name.replace('_', ' ')}"
            yield from _texts(label, sides, partial(_parameter, technique, name))


def _parameter(technique: str, name: str, side: Side) -> str:
    links = [link for link in side.chain if link.technique == technique and name in link.parameters]
    return "; ".join(in_words(link.parameters[name]) for link in links)


def _limit_rows(sides: Sequence[Side]) -> Iterator[Row]:
    """Every limit with what was decided about it."""
    reports = [side.report for side in sides]
    known = {one.key: one for report in reports if report for one in report.constraints}
    for key, one in known.items():
        label = f"{limit_name(one.constraint)}{f': {one.subject}' if one.subject else ''}"
        yield from _row(label, (_verdict(report, key) for report in reports))


def _verdict(report: EvaluationReport | None, key: str) -> Cell:
    found = next((one for one in report.constraints if one.key == key), None) if report else None
    return Cell(words=_(found.status.value)) if found else Cell()


def _criteria_rows(sides: Sequence[Side]) -> Iterator[Row]:
    """The fields of the criteria in which the sessions differ: all of them together would hide those."""
    sessions = [side.session for side in sides]
    if any(session is None for session in sessions):
        return
    bodies = [dict(leaves(session.criteria_body)) if session else {} for session in sessions]
    asked = questions_by_path()
    for path in dict.fromkeys((*asked, *(path for body in bodies for path in body))):
        values = [body.get(path) for body in bodies]
        if any(value != values[0] for value in values[1:]):
            question = asked.get(path)
            label = question.label if question else capitalized(path.rpartition(".")[2].replace("_", " "))
            yield from _row(label, (Cell(words=in_words(value, path, question)) for value in values))
