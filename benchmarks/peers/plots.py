"""The two pictures of the page, as SVG: they need no library, and a diff of them can be read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from benchmarks.peers.catalogue import Entry
from benchmarks.peers.results import Found, mean_of

WIDTH, LEFT, RIGHT, TOP, LINE = 840, 380, 70, 34, 24
INK, SOFT, RULE, PAPER = "#1f2933", "#52606d", "#cbd2d9", "#ffffff"
LATHE, PEER = "#0b6e4f", "#8a94a6"
DOT = 5
LOWEST, HIGHEST = 0.05, 30.0


@dataclass(frozen=True)
class Scale:
    """A logarithmic axis over the picture."""

    low: float
    high: float

    def at(self, value: float) -> float:
        share = math.log(max(self.low, min(self.high, value)) / self.low) / math.log(self.high / self.low)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    @property
    def ticks(self) -> list[float]:
        steps = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
        return [step for step in steps if self.low <= step <= self.high]


def means(entries: Sequence[Entry], found: Sequence[Found]) -> str:
    """A bar for each entry: its geometric mean over all models."""
    ranked = sorted(((mean_of(one.key, found), one) for one in entries), key=lambda pair: -pair[0])
    scale = Scale(1.0, max(2.0, ranked[0][0]))
    lines = list(_axis(scale, len(ranked)))
    for number, (mean, entry) in enumerate(ranked):
        y = TOP + number * LINE
        width = max(1.0, scale.at(mean) - LEFT)
        lines.append(_text(LEFT - 10, y + 15, _name(entry), "end"))
        lines.append(f'<rect x="{LEFT}" y="{y + 4}" width="{width:.1f}" height="14" fill="{_colour(entry)}"/>')
        lines.append(_text(LEFT + width + 6, y + 15, f"{mean:.2f}"))
    title = "Geometric mean of the speed-ups that hold the limit, over all models"
    return _picture(title, TOP + len(ranked) * LINE + 8, lines)


def models(entries: Mapping[str, Entry], found: Sequence[Found], labels: Mapping[str, str]) -> str:
    """A line for each model with a dot for each entry: filled if it holds the limit, hollow if it loses more."""
    dots = {one.subject: list(_dots(one, entries)) for one in found}
    values = [value for points in dots.values() for value, _, _ in points] or [1.0]
    scale = Scale(max(LOWEST, min(0.8, *values) * 0.9), min(HIGHEST, max(2.0, *values) * 1.1))
    lines = list(_axis(scale, len(dots)))
    for number, (subject, points) in enumerate(dots.items()):
        y = TOP + number * LINE + 12
        lines.append(_text(LEFT - 10, y + 4, labels[subject], "end"))
        lines += [_dot(scale.at(value), y, holds, entry) for value, holds, entry in points]
    title = "Speed-up of every artifact: filled holds the limit, hollow loses more; Lathe's are larger"
    return _picture(title, TOP + len(dots) * LINE + 8, lines)


def _dots(found: Found, entries: Mapping[str, Entry]) -> Iterator[tuple[float, bool, Entry]]:
    """Lathe's comes last, so that it lies on top."""
    rows = [row for row in found.rows if row.measured is not None and row.entry in entries]
    for row in sorted(rows, key=lambda row: entries[row.entry].is_lathe):
        assert row.measured is not None
        yield row.measured.cpu_speedup.value, row.measured.holds, entries[row.entry]


def _dot(x: float, y: float, holds: bool, entry: Entry) -> str:
    fill = _colour(entry) if holds else PAPER
    radius = DOT + 2 if entry.is_lathe else DOT
    circle = f'cx="{x:.1f}" cy="{y}" r="{radius}" fill="{fill}" stroke="{_colour(entry)}" stroke-width="1.5"'
    return f"<circle {circle}><title>{escape(_name(entry))}</title></circle>"


def _axis(scale: Scale, rows: int) -> Iterator[str]:
    for tick in scale.ticks:
        x, colour = scale.at(tick), SOFT if tick == 1 else RULE
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{TOP + rows * LINE}" stroke="{colour}"/>'
        yield _text(x, TOP - 8, f"{tick:g}×", "middle", SOFT)


def _text(x: float, y: float, words: str, anchor: str = "start", colour: str = INK) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>'


def _picture(title: str, height: int, lines: Sequence[str]) -> str:
    """Its own paper behind it: it is read on dark pages, too."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="13" role="img">'
    )
    paper = f'<rect width="{WIDTH}" height="{height}" fill="{PAPER}"/>'
    return "\n".join([head, f"<title>{escape(title)}</title>", paper, *lines, "</svg>", ""])


def _colour(entry: Entry) -> str:
    return LATHE if entry.is_lathe else PEER


def _name(entry: Entry) -> str:
    return entry.label.replace("**", "")
