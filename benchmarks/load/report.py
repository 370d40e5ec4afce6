"""What was found, as Markdown: for each part a table of what is claimed, and the figures behind it."""

from __future__ import annotations

import math
import platform
import re
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
        return f"### {self.heading}\n\n{self.body}"

    @property
    def body(self) -> str:
        """All of it below the heading."""
        blocks = [
            self.how,
            *([markdown(self.rows)] if self.rows else []),
            *map(str, self.tables),
        ]
        return "\n\n".join(blocks)


def page(form: str, takes: str, parts: Iterable[Found], loads: Sequence[float]) -> str:
    """All parts, and on what they were measured. `loads` are the machine's load averages between them."""
    head = f"""Form *{form}* ({takes}) of `make load`. {measured_on(loads)} Web server, workers, PostgreSQL, Redis, the
visitors and the browser share them."""
    return "\n\n".join([head, *map(str, parts)]) + "\n"


def measured_on(loads: Sequence[float]) -> str:
    """When, and on which machine. `loads` are its load averages meanwhile."""
    from apps.agents.measuring.machine import describe_machine

    machine = describe_machine()
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d}: {machine.cpu}, {machine.cores} cores for everything,\n"
        f"{platform.system()} {platform.release()}. The load average was {min(loads):.1f} to {max(loads):.1f} "
        "meanwhile."
    )


def with_section(document: str, section: str, text: str) -> str:
    """`document` with `text` below the heading `section`. Raises `ValueError` if it has no such section."""
    before, found, rest = document.partition(section)
    if not found:
        raise ValueError(f"The document has no section '{section.strip()}'.")
    following = re.search(r"^## ", rest, re.MULTILINE)
    return f"{before}{section}\n{text}{chr(10) + rest[following.start() :] if following else ''}"


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all `values` do not exceed (nearest rank)."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]
