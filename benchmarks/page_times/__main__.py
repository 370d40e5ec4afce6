"""How long each page takes for one person: `python -m benchmarks.page_times [--rounds N] [--database URL] [--write]`.

Writes build/page-times.md, and with `--write` the section "Pages, one person" of docs/scale.md. The exit status is 1 if
a page keeps one person waiting, or asks the database too often.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Mapping

from benchmarks.installation import REDIS, ROOT
from benchmarks.load.report import Found, Table, measured_on, percentile, with_section
from benchmarks.page_times.asking import Answers, asked
from benchmarks.page_times.painting import first_paints
from benchmarks.page_times.site import running
from benchmarks.truth.rows import Row

REPORT, DOCUMENT = ROOT / "build" / "page-times.md", ROOT / "docs" / "scale.md"
SECTION = "## Pages, one person\n"
SERVER_MS, QUERIES, PAINT_MS = 100.0, 20, 500.0
SESSIONS = 100


def main() -> int:
    given = _arguments()
    loads = [os.getloadavg()[0]]
    with running(given.database, given.redis, SESSIONS) as site:
        answers = asked(site, given.rounds, lambda number: print(f"round {number} of {given.rounds} …", flush=True))
        loads.append(os.getloadavg()[0])
        paints = first_paints(site, given.paints)
        loads.append(os.getloadavg()[0])
        found = found_of(answers, paints, "PostgreSQL" if given.database else "SQLite")
        text = f"{measured_on(loads)}\n\n{found.body}\n"
    print(text)
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(f"# Pages, one person\n\n{text}")
    if given.write:
        DOCUMENT.write_text(with_section(DOCUMENT.read_text(), SECTION, text))
    return int(any(row.holds is False for row in found.rows))


def _arguments() -> argparse.Namespace:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--rounds", type=int, default=20, help="how often each page is asked for")
    asked.add_argument("--paints", type=int, default=5, help="how often each main page is painted")
    asked.add_argument(
        "--database", help="such as postgres://postgres@127.0.0.1/lathe_pages: made, and removed; else SQLite"
    )
    asked.add_argument("--redis", default=f"{REDIS}/10", help="beside PostgreSQL: an index of Redis that is empty")
    asked.add_argument("--write", action="store_true", help="put the report into docs/scale.md as well")
    return asked.parse_args()


def found_of(answers: Mapping[str, Answers], paints: Mapping[str, list[float]], database: str) -> Found:
    """The claims, and the figures of each page, slowest first."""
    rounds = min(len(one.server_ms) for one in answers.values())
    how = (
        f"One person opens each of {len(answers)} pages {rounds} times, in turns, and waits for each answer; the team "
        f"has {SESSIONS} sessions, in {database}. *Server* is from the request to the answer in the web process, *CPU* "
        "what the process computed meanwhile; what is painted comes to a Chromium with nothing in its cache. "
        "`python -m benchmarks.page_times` measures it, with `--database` over PostgreSQL, and `--write` puts it here; "
        "`tests/portal/test_page_queries.py` holds every page to its bound of queries."
    )
    head = (
        "page",
        "server p50 ms",
        "p95 ms",
        "CPU p50 ms",
        "queries",
        "SQL p50 ms",
        "kB sent",
        "painted p50 ms",
    )
    ranked = sorted(answers, key=lambda name: -answers[name].p95_ms)
    lines = tuple(_line(name, answers[name], paints.get(name)) for name in ranked)
    return Found("", how, tuple(_claims(answers, paints)), (Table(head, lines),))


def _claims(answers: Mapping[str, Answers], paints: Mapping[str, list[float]]) -> list[Row]:
    slowest = max(answers, key=lambda name: answers[name].p95_ms)
    asking = max(answers, key=lambda name: answers[name].usual_queries)
    latest = max(paints, key=lambda name: statistics.median(paints[name]))
    slowest_ms, queries = answers[slowest].p95_ms, answers[asking].usual_queries
    paint_ms = statistics.median(paints[latest])
    return [
        _at_most(f"95 of 100 answers of the slowest page ({slowest})", slowest_ms, SERVER_MS, " ms"),
        _at_most(f"queries of the page with most ({asking})", queries, QUERIES),
        _at_most(f"median first paint of the latest main page ({latest})", paint_ms, PAINT_MS, " ms"),
    ]


def _at_most(claim: str, found: float, bound: float, unit: str = "") -> Row:
    return Row(claim, f"≤ {bound:.0f}{unit}", f"{found:.0f}{unit}", found <= bound)


def _line(name: str, answers: Answers, paints: list[float] | None) -> tuple[str, ...]:
    return (
        name,
        f"{percentile(answers.server_ms, 0.5):.0f}",
        f"{answers.p95_ms:.0f}",
        f"{percentile(answers.cpu_ms, 0.5):.0f}",
        f"{answers.usual_queries}",
        f"{percentile(answers.sql_ms, 0.5):.1f}",
        f"{max(answers.sent_bytes) / 1e3:.0f}",
        f"{statistics.median(paints):.0f}" if paints else "",
    )


if __name__ == "__main__":
    sys.exit(main())
