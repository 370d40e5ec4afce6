"""What was found, as Markdown: for each part a table of what is claimed, and the figures behind it."""

from __future__ import annotations

import math
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from benchmarks.truth.rows import Row, markdown


@dataclass(frozen=True)
class Table:
    head: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        return "\n".join(f"| {' | '.join(line)} |" for line in (self.head, ("---",) * len(self.head), *self.lines))


@dataclass(frozen=True)
class Found:
    """What one part found."""

    heading: str
    how: str
    rows: tuple[Row, ...]
    tables: tuple[Table, ...] = ()

    def __str__(self) -> str:
        blocks = [
            f"### {self.heading}",
            self.how,
            *([markdown(self.rows)] if self.rows else []),
            *map(str, self.tables),
        ]
        return "\n\n".join(blocks)


def page(form: str, takes: str, parts: Iterable[Found], loads: Sequence[float]) -> str:
    """All parts, and on what they were measured. `loads` are the machine's load averages between them."""
    from apps.agents.measuring.machine import describe_machine

    machine = describe_machine()
    head = f"""Form *{form}* ({takes}) of `make load`, measured on {datetime.now(UTC):%Y-%m-%d}: {machine.cpu}, \
{machine.cores} cores for everything (web server, workers, PostgreSQL, Redis, the visitors and the browser),
{platform.system()} {platform.release()}. The load average was {min(loads):.1f} to {max(loads):.1f} between the \
parts."""
    return "\n\n".join([head, *map(str, parts)]) + "\n"


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all `values` do not exceed (nearest rank)."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]
