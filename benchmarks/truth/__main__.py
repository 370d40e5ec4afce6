"""The proof that verdicts are true: `python -m benchmarks.truth [short|medium|full] [--write]`.

Prints a table of claims, bounds and results, and whether each claim holds. The exit status is 1 if a row does not hold.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from apps.agents.measuring.machine import describe_machine
from benchmarks.truth import accuracy, bad, choices, demo, load, speed
from benchmarks.truth.form import FORMS, Form
from benchmarks.truth.material import depthwise, resnet
from benchmarks.truth.rows import Row, markdown, verdict

PAGE = Path(__file__).resolve().parents[2] / "docs" / "truth.md"
Part = Callable[[], Iterable[Row]]


def parts(form: Form, root: Path) -> Mapping[str, Part]:
    """What is proven, by its heading, in the order in which it is made."""
    small, large = depthwise(root), resnet(root)

    def answers() -> tuple[accuracy.Answers, ...]:
        return (small.answers,) if form is FORMS["short"] else (small.answers, large.answers)

    return {
        "Accuracy": lambda: accuracy.rows(form, answers()),
        "A choice among many": lambda: choices.rows(form),
        "Speed": lambda: speed.rows(form, small),
        "Known-bad candidates": lambda: bad.rows(form, small),
        "Beside busy programs": lambda: load.rows(form, large, small),
        "The demo": lambda: demo.rows(form),
    }


def made(form: Form, only: Sequence[str] = (), tell: Callable[[str], object] = print) -> dict[str, tuple[Row, ...]]:
    """Every part's rows, or those of the parts that are named, told as they come."""
    found: dict[str, tuple[Row, ...]] = {}
    with tempfile.TemporaryDirectory(prefix="truth-") as root:
        for heading, part in parts(form, Path(root)).items():
            if only and heading not in only:
                continue
            rows = []
            for row in part():
                rows.append(row)
                tell(f"{verdict(row):8} {row.claim}: {row.found} (bound: {row.bound})")
            if rows:
                found[heading] = tuple(rows)
    return found


def page(name: str, found: Mapping[str, Sequence[Row]], took_s: float) -> str:
    """docs/truth.md"""
    machine = describe_machine()
    broken = sum(row.holds is False for rows in found.values() for row in rows)
    verdicts = f"{broken} of {sum(map(len, found.values()))} rows broken" if broken else "No row is broken"
    load_average = os.getloadavg()[0]
    head = f"""# Are the verdicts true?

`make truth` tests the verdicts and writes this page. [How Lathe measures](how-lathe-measures.md#proof) explains
the rows. {verdicts}. A share may be three standard errors beyond its bound, to allow for chance in so few cases.

- form *{name}* ({FORMS[name].takes}), measured on {datetime.now(UTC):%Y-%m-%d} in {took_s / 60:.0f} minutes
- {machine.cpu}, {machine.cores} cores, {platform.system()} {platform.release()}, load {load_average:.1f} at the end
- Python {platform.python_version()}, onnxruntime {version("onnxruntime")}, numpy {version("numpy")}
"""
    improved = [row for rows in found.values() for row in rows if row.before]
    tables = {"Previously wrong": improved} if improved else {}
    tables |= {heading: [replace(row, before="") for row in rows] for heading, rows in found.items()}
    return "\n".join([head, *(f"## {heading}\n\n{markdown(rows)}\n" for heading, rows in tables.items())])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.truth", description=__doc__)
    parser.add_argument("form", nargs="?", choices=FORMS, default="full")
    parser.add_argument("--only", nargs="+", default=[], metavar="HEADING", help="of the table's parts")
    parser.add_argument("--write", action="store_true", help="write docs/truth.md")
    chosen = parser.parse_args(arguments)
    start = time.monotonic()
    found = made(FORMS[chosen.form], chosen.only, tell=lambda line: print(line, flush=True))
    text = page(chosen.form, found, time.monotonic() - start)
    if chosen.write:
        PAGE.write_text(text, encoding="utf-8")
    print(f"\n{text}")
    return 1 if any(row.holds is False for rows in found.values() for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
