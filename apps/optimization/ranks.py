"""What a decomposition rows of each layer, ready to be shown: form, rank, energy kept, work and time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NotRequired

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

RANKS = "ranks"
MOST_ROWS = 40
"""The most layers shown: those that save most work. The API has everything that the technique reported."""


class _RankRow(TypedDict):
    name: str
    form: str
    rank: int
    energy_kept: float
    macs_before: int
    macs_after: int
    ms_before: NotRequired[float | None]
    ms_after: NotRequired[float | None]


_ROWS: TypeAdapter[list[_RankRow]] = TypeAdapter(list[_RankRow])


@dataclass(frozen=True)
class LayerRank:
    """One layer that was replaced by factors. `times_faster` is as measured of the layer alone, if it was."""

    name: str
    form: str
    rank: int
    energy_kept: float
    macs_before: int
    macs_after: int
    times_faster: float | None


@dataclass(frozen=True)
class Ranks:
    """`layers` are in the graph's order. `further` is the number of layers left out."""

    layers: tuple[LayerRank, ...]
    further: int


def ranks_of(evidence: Mapping[str, Any]) -> Ranks:
    """The factors described by `evidence`. Techniques write it, so unexpected values are left out."""
    try:
        rows = _ROWS.validate_python(evidence.get(RANKS))
    except ValidationError:
        rows = []
    saving = sorted(rows, key=lambda row: row["macs_after"] - row["macs_before"])[:MOST_ROWS]
    return Ranks(tuple(_row(row) for row in rows if row in saving), len(rows) - len(saving))


def beside_ranks(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """The rest of `evidence`: everything that `ranks_of` does not show."""
    shown = bool(ranks_of(evidence).layers)
    return {name: value for name, value in evidence.items() if name != RANKS or not shown}


def _row(row: _RankRow) -> LayerRank:
    before, after = row.get("ms_before"), row.get("ms_after")
    faster = before / after if before and after else None
    return LayerRank(
        row["name"], row["form"], row["rank"], row["energy_kept"], row["macs_before"], row["macs_after"], faster
    )
