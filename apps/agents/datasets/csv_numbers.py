"""Converts columns of text cells to numbers: decimal points and commas, thousands separators, and invalid cells.

A column's own cells determine its style if they can. "1,234" alone is ambiguous: the other columns decide, or it is
refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from apps.agents.contracts.errors.datasets import CellInvalid, DatasetUnreadable, NumberAmbiguous
from apps.agents.datasets.labels import MISSING

Array = NDArray[np.generic]

_EXPONENT = r"(?:[eE][+-]?\d+)?"
_PLAIN = rf"^[+-]?(?:\d+\.?\d*|\.\d+){_EXPONENT}$|^(?i:[+-]?inf(?:inity)?)$"
_WHOLE = r"^[+-]?\d{1,18}$"
_BOOLEAN = r"^(?i:true|false)$"
_DECIMAL_COMMA = rf"^[+-]?\d*,\d+{_EXPONENT}$"
_COMMA_GROUPS = r"^[+-]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d*)?$"
_POINT_GROUPS = r"^[+-]?[1-9]\d{0,2}(?:\.\d{3})+(?:,\d*)?$"
_ONE_COMMA_GROUP = r"^[+-]?[1-9]\d{0,2},\d{3}$"
_ONE_POINT_GROUP = r"^[+-]?[1-9]\d{0,2}\.\d{3}$"
_SPACED = r"^([+-]?\d{1,3})((?:[ '’\x{a0}\x{202f}\x{2009}]\d{3})+)([.,]\d*)?$"
_SPACES = r"[ '’\x{a0}\x{202f}\x{2009}]"


class Style(Enum):
    """The meaning of commas and points in numbers."""

    POINT = "decimal points"
    COMMA = "decimal commas"
    COMMA_GROUPS = "commas between thousands"
    POINT_GROUPS = "decimal commas and points between thousands"


@dataclass(frozen=True)
class Cells:
    """One column, with white space trimmed."""

    name: str
    text: pa.Array
    missing: pa.Array
    known: pa.Array
    """The cells that are not missing."""

    def matching(self, pattern: str) -> int:
        return int(pc.sum(pc.match_substring_regex(self.known, pattern)).as_py() or 0)

    @property
    def count(self) -> int:
        return len(self.known)


def cells_of(name: str, column: pa.ChunkedArray) -> Cells:
    text = pc.utf8_trim_whitespace(column.combine_chunks())
    spaced = pc.match_substring_regex(text, _SPACED)
    if pc.any(spaced).as_py():
        text = pc.if_else(spaced, pc.replace_substring_regex(text, _SPACES, ""), text)
    missing = pc.is_in(pc.utf8_lower(text), value_set=pa.array(sorted(MISSING)))
    return Cells(name, text, missing, text.filter(pc.invert(missing)))


def numbers_of(columns: Mapping[str, Cells]) -> tuple[dict[str, Array], tuple[str, ...]]:
    """Each column as numbers, as booleans, or as text if few of its cells are numbers; and how numbers were written.

    Raises `CellInvalid` for a cell that is not a number in a column of numbers, `NumberAmbiguous`, and
    `DatasetUnreadable` for a column without any value.
    """
    for cells in columns.values():
        if not cells.count:
            raise DatasetUnreadable(kind="table", reason=f"column {cells.name!r} is empty")
    own = {name: _own_style(cells) for name, cells in columns.items()}
    shared: set[Style] = {style for style in own.values() if style is not None and style is not Style.POINT}
    found: dict[str, Array] = {}
    used: set[Style] = set()
    for name, cells in columns.items():
        style = own[name] or _shared_style(cells, shared)
        found[name] = _column(cells, style)
        if found[name].dtype.kind in "if":
            used.add(style)
    return found, tuple(sorted(style.value for style in used - {Style.POINT}))


def _own_style(cells: Cells) -> Style | None:
    """The style that the column's own cells prove; `None` if they are ambiguous."""
    plain, single_points = cells.matching(_PLAIN), cells.matching(_ONE_POINT_GROUP)
    if plain == cells.count and not single_points:
        return Style.POINT
    commas, points = cells.matching(_COMMA_GROUPS), cells.matching(_POINT_GROUPS)
    single_commas = cells.matching(_ONE_COMMA_GROUP)
    if points > single_points:
        return Style.POINT_GROUPS
    if commas > single_commas:
        return Style.COMMA_GROUPS
    decimals = cells.matching(_DECIMAL_COMMA)
    if decimals > single_commas:
        return Style.COMMA
    with_point = plain - cells.matching(_WHOLE)
    if decimals:
        return Style.COMMA_GROUPS if with_point else None
    return None if single_points and with_point == single_points else Style.POINT


def _shared_style(cells: Cells, shared: set[Style]) -> Style:
    """The style of the other columns. Points are decimal unless other columns use points between thousands."""
    if not cells.matching(_ONE_COMMA_GROUP):
        if not shared & {Style.COMMA, Style.POINT_GROUPS}:
            return Style.POINT
        if Style.POINT_GROUPS in shared:
            return Style.POINT_GROUPS
    elif len(shared) == 1 or shared == {Style.COMMA, Style.POINT_GROUPS}:
        return next(iter(shared))
    pattern = _ONE_COMMA_GROUP if cells.matching(_ONE_COMMA_GROUP) else _ONE_POINT_GROUP
    row = pc.index(pc.match_substring_regex(cells.text, pattern), True).as_py()
    raise NumberAmbiguous(column=cells.name, row=row + 1, value=cells.text[row].as_py(), field="file")


def _column(cells: Cells, style: Style) -> Array:
    text = _with_points(cells.text, style)
    known = text.filter(pc.invert(cells.missing))
    numeric = pc.match_substring_regex(known, _PLAIN)
    numbers = int(pc.sum(numeric).as_py() or 0)
    if numbers * 2 <= len(known):
        return _words(cells)
    _refuse_odd(cells, pc.match_substring_regex(text, _PLAIN))
    if pc.all(pc.match_substring_regex(text, _WHOLE)).as_py():
        return np.asarray(pc.cast(pc.replace_substring_regex(text, r"^\+", ""), pa.int64()).to_numpy())
    return np.asarray(pc.cast(text, pa.float64()).to_numpy(zero_copy_only=False))


def _with_points(text: pa.Array, style: Style) -> pa.Array:
    if style is Style.COMMA_GROUPS:
        grouped = pc.match_substring_regex(text, _COMMA_GROUPS)
        return pc.if_else(grouped, pc.replace_substring(text, ",", ""), text)
    if style is Style.POINT_GROUPS:
        grouped = pc.match_substring_regex(text, _POINT_GROUPS)
        text = pc.if_else(grouped, pc.replace_substring(text, ".", ""), text)
    elif style is Style.COMMA:
        # With decimal commas, a cell with a point is not a number.
        return pc.replace_substring_regex(pc.replace_substring(text, ".", "?"), r",", ".")
    return pc.replace_substring(text, ",", ".") if style is Style.POINT_GROUPS else text


def _words(cells: Cells) -> Array:
    """Booleans if all cells are True or False; otherwise text, with missing cells as written in the file."""
    if cells.matching(_BOOLEAN) == cells.count:
        _refuse_odd(cells, pc.invert(cells.missing))
        return np.asarray(pc.equal(pc.utf8_lower(cells.text), "true").to_numpy(zero_copy_only=False), dtype=bool)
    return np.asarray(cells.text.to_numpy(zero_copy_only=False), dtype=object)


def _refuse_odd(cells: Cells, right: pa.Array) -> None:
    row = pc.index(right, False).as_py()
    if row >= 0:
        raise CellInvalid(column=cells.name, row=row + 1, value=cells.text[row].as_py(), field="file")
