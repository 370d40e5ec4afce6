"""One line of the proof: what is claimed, how far it may be off, what came out, and whether it holds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

NOISE = 3
"""Standard errors by which a share may lie beyond its bound: that of a claim that is just true does so once in 740
times."""


@dataclass(frozen=True)
class Row:
    claim: str
    bound: str
    found: str
    holds: bool | None
    """`None` where nothing is claimed (a comparison), or nothing could be told."""
    before: str = ""
    """What the same gave before the method that the row is about, where that was measured."""


def noise_of(bound: float, cases: int) -> float:
    """How far beyond `bound` a share of `cases` may lie by chance."""
    return NOISE * math.sqrt(max(bound * (1 - bound), 0.0) / cases)


def at_most(claim: str, hits: int, cases: int, bound: float, before: str = "") -> Row:
    """That it happens in no more than `bound` of all cases."""
    return _share(claim, hits, cases, f"≤ {percent(bound)}", bound + noise_of(bound, max(1, cases)), 1, before)


def at_least(claim: str, hits: int, cases: int, bound: float, before: str = "") -> Row:
    """That it happens in no less than `bound` of all cases."""
    return _share(claim, hits, cases, f"≥ {percent(bound)}", bound - noise_of(bound, max(1, cases)), -1, before)


def _share(claim: str, hits: int, cases: int, bound: str, edge: float, sign: int, before: str) -> Row:
    if not cases:
        return Row(claim, bound, "no result", None, before)
    share = hits / cases
    return Row(claim, bound, f"{percent(share)} ({hits:,} of {cases:,})", sign * share <= sign * edge, before)


def percent(share: float) -> str:
    return f"{share * 100:.1f} %"


# --- the table -------------------------------------------------------------------------------------------------------


def markdown(rows: Iterable[Row]) -> str:
    """`rows` as a table; the column of what was before only where a row has it."""
    found = tuple(rows)
    before = any(row.before for row in found)
    head = ["claim", "bound", *(["before"] if before else []), "result", "holds"]
    lines = [_line(head), _line(["---"] * len(head))]
    for row in found:
        cells = [row.claim, row.bound, *([row.before or "–"] if before else []), row.found, verdict(row)]
        lines.append(_line(cells))
    return "\n".join(lines)


def verdict(row: Row) -> str:
    return "–" if row.holds is None else "yes" if row.holds else "**NO**"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
