"""A comparison as one value, the same for the page, the API and the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from django.utils.translation import gettext as _

from apps.accounts.models import User
from apps.agents.contracts.values import Value
from apps.optimization.localized import listed
from apps.optimization.side_by_side.layers import LayerDiff, layers_of
from apps.optimization.side_by_side.picture import Overlay, overlays
from apps.optimization.side_by_side.readings import Reading
from apps.optimization.side_by_side.selection import Kind, selected
from apps.optimization.side_by_side.sides import Side, Sides, sides_of
from apps.optimization.side_by_side.table import Row, Section, sections_of
from apps.optimization.side_by_side.version_readings import MeasuredOn
from apps.tables import written


class ComparedItem(Value):
    """One item, in the order of the cells of every row."""

    item: str
    """As it was given: `candidate:SESSION:c02`."""
    kind: Kind
    title: str
    path: str
    """Its page in the portal."""
    session: str | None
    """The session that it belongs to; for a version, the one that measured it."""
    reading: Reading | None
    """`None` if nothing was measured."""


class SideBySide(Value):
    """Two to six items with all quantities in which they may differ."""

    items: tuple[ComparedItem, ...]
    sections: tuple[Section, ...]
    layers: LayerDiff | None
    """`None` if fewer than two files name their tensors."""
    cautions: tuple[str, ...]
    """Why numbers may differ for another reason than the models, one sentence each."""
    dataset: MeasuredOn | None
    """For versions: the data set on which all readings were made."""
    datasets: tuple[MeasuredOn, ...]
    """For versions: all data sets on which any of them was measured."""


@dataclass(frozen=True)
class Comparison:
    """What an address compares, with the rows behind it."""

    sides: Sides

    @cached_property
    def value(self) -> SideBySide:
        sides = self.sides.all
        return SideBySide(
            items=tuple(map(_item, sides)),
            sections=sections_of(sides),
            layers=layers_of(sides),
            cautions=tuple(_cautions(sides)),
            dataset=self.sides.dataset,
            datasets=self.sides.datasets,
        )

    @property
    def overlays(self) -> list[Overlay]:
        return overlays(self.sides.all)


def comparison(items: Sequence[str], user: User, dataset: int | None = None) -> Comparison:
    """Compares what `items` name. `dataset` chooses among those on which versions were measured.

    Raises the errors of `selected` and of `sides_of`.
    """
    return Comparison(sides_of(selected(items), user, dataset))


def _item(side: Side) -> ComparedItem:
    session = side.measured.session if side.measured else side.session.pk if side.session else None
    return ComparedItem(
        item=str(side.item),
        kind=side.item.kind,
        title=side.title,
        path=side.url,
        session=str(session) if session else None,
        reading=side.reading,
    )


def _cautions(sides: Sequence[Side]) -> Iterator[str]:
    measured = [side for side in sides if side.reading]
    if unmeasured := [side.title for side in sides if not side.reading]:
        yield _("Nothing was measured of {items}.").format(items=listed(unmeasured))
    datasets = {side.session.dataset_id: side.session.dataset.name for side in measured if side.session}
    if len(datasets) > 1:
        names = listed(sorted(datasets.values()))
        sentence = _("The metrics are from different data sets ({names}), so they cannot be compared.")
        yield sentence.format(names=names)
    if len({side.reading.part for side in measured if side.reading}) > 1:
        yield _(
            "Some metrics are from validation examples, which also rank the candidates, and some from test examples."
        )
    machines = sorted({side.machine for side in measured if side.machine})
    if len(machines) > 1:
        sentence = _("The times are from different machines ({machines}), so they cannot be compared.")
        yield sentence.format(machines=listed(machines))
    timings = {(side.reading.threads, side.reading.batch_size) for side in measured if side.reading}
    if len(timings) > 1:
        yield _("The times are for different threads or batch sizes, so they cannot be compared.")
    sessions = {side.measured.session if side.measured else side.item.session for side in measured}
    if len(measured) > 1 and len(sessions) > 1:
        yield _(
            "Times of different sessions also differ by what the machine did besides. To compare two versions to a "
            "fraction of a per cent, measure them in turns."
        )


# --- as a file --------------------------------------------------------------------------------------------------------


def as_csv(value: SideBySide) -> str:
    """A line for each row: section, quantity, unit, difference, and for each item value, low and high."""
    titles = [f"{one.title}{end}" for one in value.items for end in ("", " low", " high")]
    return written(["section", "quantity", "unit", "difference", *titles], _lines(value))


def _lines(value: SideBySide) -> Iterator[list[object]]:
    for section in value.sections:
        for row in section.rows:
            yield [section.title, row.label, row.unit, row.difference, *_numbers(row)]
    for layer in value.layers.rows if value.layers else ():
        cells = [text for cell in layer.cells for text in (cell.dtype and f"{cell.dtype} {cell.bytes:.0f}", "", "")]
        yield ["Layers", layer.name, "bytes", layer.difference, *cells]


def _numbers(row: Row) -> Iterator[object]:
    for cell in row.cells:
        yield from (cell.words if cell.value is None else cell.value, cell.low, cell.high)
