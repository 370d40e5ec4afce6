"""Speed by batch size and threads as heat maps, ready for their template."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.utils.translation import gettext as _

from apps.agents.contracts.reports.speed_matrix import CellSpeed, MatrixCell, SpeedMatrix
from apps.optimization.heat import Cell, shades_between
from apps.optimization.localized import number


@dataclass(frozen=True)
class Table:
    """One heat map: batch sizes down, threads across."""

    name: str
    of: str
    """What a stronger colour means, in words."""
    threads: tuple[int, ...]
    rows: tuple[tuple[int, tuple[Cell, ...]], ...]


def tables(matrix: SpeedMatrix) -> tuple[Table, ...]:
    """Both models' latency and throughput, and how many times as fast the candidate is; the original alone if there is
    no candidate."""
    found = [_speeds(matrix, _("Original"), lambda cell: cell.original)]
    if any(cell.candidate for cell in matrix.cells):
        found.append(_speeds(matrix, _("Candidate"), lambda cell: cell.candidate))
        of = _("the stronger the colour, the larger the gain")
        found.append(_table(matrix, _("Candidate against original"), of, lambda cell: cell.speedup, _times))
    return tuple(found)


def left_out(matrix: SpeedMatrix) -> dict[str, list[str]]:
    """Why cells were skipped, each reason with its cells."""
    reasons: dict[str, list[str]] = {}
    for cell in matrix.cells:
        if cell.skipped:
            reasons.setdefault(cell.skipped, []).append(f"{cell.batch_size} × {cell.threads}")
    return reasons


def _speeds(matrix: SpeedMatrix, name: str, of: Callable[[MatrixCell], CellSpeed | None]) -> Table:
    def throughput(cell: MatrixCell) -> float | None:
        speed = of(cell)
        return speed.throughput_per_s if speed else None

    def written(cell: MatrixCell) -> str:
        speed = of(cell)
        return f"{number(speed.p50_ms)} ms, {number(speed.throughput_per_s)} /s" if speed else "–"

    return _table(matrix, name, _("the stronger the colour, the higher the throughput"), throughput, written)


def _times(cell: MatrixCell) -> str:
    return "–" if cell.speedup is None else f"{number(cell.speedup)}×"


def _table(
    matrix: SpeedMatrix,
    name: str,
    of: str,
    value: Callable[[MatrixCell], float | None],
    written: Callable[[MatrixCell], str],
) -> Table:
    shades = shades_between(value(cell) for cell in matrix.cells)
    cells = [
        Cell(written(cell), shade, title=cell.skipped or "") for cell, shade in zip(matrix.cells, shades, strict=True)
    ]
    across = len(matrix.threads)
    rows = tuple(
        (batch_size, tuple(cells[row * across : (row + 1) * across]))
        for row, batch_size in enumerate(matrix.batch_sizes)
    )
    return Table(name, of, matrix.threads, rows)
