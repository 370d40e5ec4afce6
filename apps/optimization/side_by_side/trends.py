"""A model over its versions: the primary metric, latency and size of each, and which of them were promoted when."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _

from apps.agents.contracts.phrasing import capitalized
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.values import Value
from apps.models.models import AliasMove, ModelVersion, RegisteredModel
from apps.optimization.fronts import HEIGHT, LEFT, TOP, WIDTH, Axis, Tick
from apps.optimization.localized import column_number, number_of_bytes
from apps.optimization.side_by_side.picture import ends
from apps.optimization.side_by_side.version_readings import MeasuredOn, VersionReading, readings_of

Words = Callable[[float], str]
MOST = 50
"""The newest versions that a trend shows."""


class Promotion(Value):
    """An alias was moved to the version, or back to it."""

    alias: str
    at: datetime
    by: str
    """Empty for a member who was removed."""
    back: bool
    """Whether it undid an earlier move."""


class TrendPoint(Value):
    version: int
    """The version's id."""
    number: int
    added: datetime
    size_bytes: int
    """Of the file."""
    measured: VersionReading | None
    aliases: tuple[str, ...]
    """Those that point at it now."""
    promotions: tuple[Promotion, ...]
    """In order."""


class Trend(Value):
    """The versions of a model, the oldest first; the newest 50 of a longer history."""

    points: tuple[TrendPoint, ...]
    dataset: MeasuredOn | None
    """On which all of them were measured; `None` if none was."""
    datasets: tuple[MeasuredOn, ...]
    left_out: int
    """How many older versions are not shown."""


def trend_of(model: RegisteredModel, dataset: int | None = None) -> Trend:
    """The trend on the data set with the id `dataset`, or on the one on which most versions were measured."""
    return trend_over(list(model.versions.select_related("blob").prefetch_related("aliases")), dataset)


def trend_over(every: Sequence[ModelVersion], dataset: int | None = None) -> Trend:
    """The same of versions of a model that were read already, the newest first."""
    versions = every[:MOST][::-1]
    readings = readings_of(versions, dataset)
    promotions = _promotions(versions)
    points = (_point(one, readings.by_version.get(one.pk), promotions.get(one.pk, ())) for one in versions)
    return Trend(
        points=tuple(points),
        dataset=readings.dataset,
        datasets=readings.datasets,
        left_out=len(every) - len(versions),
    )


def _point(version: ModelVersion, measured: VersionReading | None, promotions: Iterable[Promotion]) -> TrendPoint:
    return TrendPoint(
        version=version.pk,
        number=version.number,
        added=version.created_at,
        size_bytes=version.blob.size_bytes,
        measured=measured,
        aliases=tuple(alias.name for alias in version.aliases.all()),
        promotions=tuple(promotions),
    )


def _promotions(versions: Sequence[ModelVersion]) -> dict[int, list[Promotion]]:
    moves = AliasMove.objects.filter(to_version__in=versions).select_related("alias", "moved_by").order_by("pk")
    found: dict[int, list[Promotion]] = {}
    for move in moves:
        by = str(move.moved_by) if move.moved_by else ""
        one = Promotion(alias=move.alias.name, at=move.moved_at, by=by, back=move.undoes_id is not None)
        found.setdefault(move.to_version_id or 0, []).append(one)
    return found


# --- the picture ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Dot:
    """One version in percent of the picture. `promoted` names the aliases that were ever moved to it."""

    number: int
    x: float
    y: float
    above: float
    below: float
    promoted: str
    described: str


@dataclass(frozen=True)
class Line:
    """One quantity over the versions; a version without it has no dot."""

    name: str
    dots: tuple[Dot, ...]
    across_ticks: tuple[Tick, ...]
    up_ticks: tuple[Tick, ...]
    higher_is_better: bool

    @property
    def path(self) -> list[tuple[Dot, Dot]]:
        return list(zip(self.dots, self.dots[1:], strict=False))


def lines_of(trend: Trend) -> list[Line]:
    """A picture for each quantity that at least one version has."""
    measured = [(point, point.measured.reading) for point in trend.points if point.measured]
    lines = []
    if measured:
        primary = measured[-1][1].primary
        same = [(point, one) for point, one in measured if one.primary.metric == primary.metric]
        unit = f" ({_(primary.unit)})" if primary.unit else ""
        values = [(point, one.primary.value) for point, one in same]
        lines.append(
            _line(f"{capitalized(_(primary.label))}{unit}", values, _four_digits, primary.higher_is_better, trend)
        )
        times = [(point, one.latency_ms) for point, one in measured]
        lines.append(_line(_("Latency (p50, ms)"), times, column_number, False, trend))
    if trend.points:
        sizes = [(point, Estimate(value=point.size_bytes)) for point in trend.points]
        lines.append(_line(_("Size"), sizes, number_of_bytes, False, trend))
    return lines


def _four_digits(value: float) -> str:
    return column_number(value, 4)


def _line(
    name: str, values: Sequence[tuple[TrendPoint, Estimate]], words: Words, higher_is_better: bool, trend: Trend
) -> Line:
    x = Axis.of([point.number for point in trend.points], LEFT, WIDTH)
    y = Axis.of([-end for _, value in values for end in (value.value, *ends(value))], TOP, HEIGHT)
    numbers = sorted({round(tick) for tick in x.ticks if tick == round(tick)})
    return Line(
        name=name,
        dots=tuple(_dot(point, value, words, x, y) for point, value in values),
        across_ticks=tuple(Tick(x.at(number), f"v{number}") for number in numbers),
        up_ticks=tuple(Tick(y.at(tick), words(-tick)) for tick in y.ticks),
        higher_is_better=higher_is_better,
    )


def _dot(point: TrendPoint, value: Estimate, words: Words, x: Axis, y: Axis) -> Dot:
    low, high = ends(value)
    promoted = ", ".join(dict.fromkeys(one.alias for one in point.promotions))
    text = f"v{point.number}: {words(value.value)}"
    return Dot(
        number=point.number,
        x=x.at(point.number),
        y=y.at(-value.value),
        above=y.at(-high),
        below=y.at(-low),
        promoted=promoted,
        described=_("{version}, promoted to {aliases}").format(version=text, aliases=promoted) if promoted else text,
    )
