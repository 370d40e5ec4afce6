"""Lathe beside its peers: `python -m benchmarks.peers [--form short|full] [--models …] [--peers …] [--write]`.

Keeps each model's result in build/peers/results. `--write` makes docs/peers.md of all results that are there, also of
earlier runs, so that models can be measured one at a time. `--peers` is a trial with some of them: nothing is kept.
The exit status is 1 if a session of Lathe's failed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from benchmarks.own_portal import ROOT
from benchmarks.peers import plots
from benchmarks.peers.catalogue import ENTRIES, entries
from benchmarks.peers.comparing import compare
from benchmarks.peers.form import FORMS
from benchmarks.peers.making import adopt_orphans
from benchmarks.peers.page import MEANS, MODELS, page
from benchmarks.peers.results import Found
from benchmarks.peers.subjects import SUBJECTS, subjects

RESULTS = ROOT / "build" / "peers" / "results"
DOCS = ROOT / "docs"


def main(arguments: Sequence[str] | None = None) -> int:
    given = _arguments(arguments)
    adopt_orphans()
    found: list[Found] = []
    for subject in () if given.kept else subjects(tuple(given.models)):
        found.append(compare(subject, entries(tuple(given.peers)), given.form))
        if not given.peers:
            keep(found[-1])
    shown = found if given.peers else kept()
    text = page(shown, ENTRIES, SUBJECTS)
    print(f"\n{text}")
    if given.write:
        write(text, shown)
    sessions = [one.row("lathe") for one in found]
    return int(any(row.failure is not None for row in sessions if row is not None))


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    asked = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    asked.add_argument("--form", choices=tuple(FORMS), default="short")
    for name, keys in (("models", [one.key for one in SUBJECTS]), ("peers", [one.key for one in ENTRIES])):
        asked.add_argument(
            f"--{name}", action="extend", nargs="+", default=[], choices=keys, metavar="NAME", help=", ".join(keys)
        )
    asked.add_argument("--kept", action="store_true", help="measure nothing: the page of the results that are there")
    asked.add_argument("--write", action="store_true", help="write docs/peers.md and its pictures")
    given = asked.parse_args(arguments)
    if given.write and given.peers:
        asked.error("--peers is a trial: what is written must have everyone, or a mean would be of some models only")
    return given


# --- results ---------------------------------------------------------------------------------------------------------


def keep(found: Found) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{found.subject}.json").write_text(found.model_dump_json(indent=1), encoding="utf-8")


def kept() -> list[Found]:
    """What this run and earlier ones have found, in the models' order."""
    paths = [RESULTS / f"{subject.key}.json" for subject in SUBJECTS]
    return [Found.model_validate_json(path.read_text(encoding="utf-8")) for path in paths if path.is_file()]


def write(text: str, found: Sequence[Found]) -> None:
    """The page and its two pictures."""
    (DOCS / "peers.md").write_text(text, encoding="utf-8")
    ran = [one for one in found if one.rows]
    tried = [entry for entry in ENTRIES if any(one.row(entry.key) for one in ran)]
    labels = {subject.key: subject.label for subject in SUBJECTS}
    (DOCS / MEANS).write_text(plots.means(tried, ran), encoding="utf-8")
    (DOCS / MODELS).write_text(plots.models({entry.key: entry for entry in tried}, ran, labels), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
