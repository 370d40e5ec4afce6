"""`manage.py formats`: writes the table of the formats that can be uploaded into the user guide, from their specs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.agents.contracts.formats import FORMATS

HEAD = "| you upload | how it is written |"
_TABLE = re.compile(rf"^{re.escape(HEAD)}\n(?:\|.*\n)+", re.MULTILINE)


class Command(BaseCommand):
    help = "Print the table of formats as Markdown, or write it into a page that has it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--write", type=Path, metavar="FILE", help="the page whose table is replaced")

    def handle(self, **options: Any) -> None:
        target: Path | None = options["write"]
        if target is None:
            self.stdout.write(table(), ending="")
            return
        try:
            target.write_text(with_table(target.read_text(encoding="utf-8")), encoding="utf-8")
        except ValueError as error:
            raise CommandError(f"{target} {error}") from error
        self.stdout.write(f"The table of {len(FORMATS)} formats is in {target}.")


def table() -> str:
    """One row a format, in the order of `FORMATS`."""
    rows = [f"| {spec.upload} | {spec.written_by} |" for spec in FORMATS.values()]
    return "\n".join([HEAD, "|---|---|", *rows, ""])


def with_table(page: str) -> str:
    """`page` with its table as it is now. Raises `ValueError` if it does not have exactly one."""
    written, replaced = _TABLE.subn(lambda _: table(), page)
    if replaced != 1:
        raise ValueError(f"has {replaced} tables that begin with {HEAD!r}, instead of one.")
    return written
