"""How Lathe bears load: `python -m benchmarks.load [short|full] [--only PART …] [--write]`.

Writes build/load/report.md, and with `--write` the section "Measured under load" of docs/scale.md. The exit status is 1
if a claim does not hold.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

from benchmarks.installation import REDIS, ROOT, SERVER, Place, installed
from benchmarks.load import browsing, lists, live, queued, uploads
from benchmarks.load.form import FORMS, Form
from benchmarks.load.report import Found, page, with_section
from benchmarks.truth.rows import verdict

REPORT, DOCUMENT = ROOT / "build" / "load" / "report.md", ROOT / "docs" / "scale.md"
SECTION = "## Measured under load\n"
# The lists come late: they fill the database.
PARTS: dict[str, Callable[[Form, Place], Found]] = {
    "browsing": browsing.found,
    "queued": queued.found,
    "live": live.found,
    "uploads": uploads.found,
    "lists": lists.found,
}


def main() -> int:
    given = _arguments()
    form = FORMS[given.form]
    form = replace(form, uploads=tuple(given.uploads or form.uploads), sessions=given.sessions or form.sessions)
    loads = [os.getloadavg()[0]]
    with installed(given.database, given.redis) as place:
        parts = list(_made(form, place, given.only or list(PARTS), loads))
        text = page(given.form, form.takes, parts, loads)
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(f"# Lathe under load\n\n{text}")
    print(f"Written to {REPORT.relative_to(ROOT)}.")
    if given.write:
        DOCUMENT.write_text(with_section(DOCUMENT.read_text(), SECTION, text))
    return int(any(row.holds is False for part in parts for row in part.rows))


def _arguments() -> argparse.Namespace:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("form", nargs="?", default="short", choices=tuple(FORMS))
    asked.add_argument(
        "--only", action="extend", nargs="+", choices=tuple(PARTS), metavar="PART", help=", ".join(PARTS)
    )
    asked.add_argument("--write", action="store_true", help="put the report into docs/scale.md as well")
    asked.add_argument("--uploads", nargs="+", metavar="SIZE", help="such as 300MiB 2GiB")
    asked.add_argument("--sessions", type=int, help="of the team with long lists")
    asked.add_argument("--database", default=f"{SERVER}/lathe_load", help="made, and removed afterwards")
    asked.add_argument("--redis", default=f"{REDIS}/10", help="an index of Redis that is empty")
    return asked.parse_args()


def _made(form: Form, place: Place, names: list[str], loads: list[float]) -> Iterator[Found]:
    for name, part in PARTS.items():
        if name not in names:
            continue
        print(f"{name} …", flush=True)
        found = part(form, place)
        loads.append(os.getloadavg()[0])
        for row in found.rows:
            print(f"  {verdict(row):8} {row.claim}: {row.found} (bound: {row.bound})", flush=True)
        yield found


if __name__ == "__main__":
    sys.exit(main())
