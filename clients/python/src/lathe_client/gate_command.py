"""`lathe gate`: exit 0 if the new version is proven to hold the limits, 1 violated, 2 inconclusive, 3 error."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any, Callable

from lathe_client import gate_reports
from lathe_client.client import Json, Lathe
from lathe_client.errors import sentence_about
from lathe_client.gate import ERROR, Result, run_gate
from lathe_client.paths import writable
from lathe_client.progress import Progress
from lathe_client.store import Store
from lathe_client.streams import complain, say

LIMITS = {
    "max_drop": ("max_metric_drop_points", "the largest loss of the metric, in points"),
    "min_speedup": ("min_speedup", "how many times as fast it must be"),
    "min_size_reduction": ("min_size_reduction", "how many times smaller it must be"),
    "max_latency_ms": ("max_latency_ms", "the longest latency, in ms"),
}
FORMATS = {
    "junit": gate_reports.junit,
    "markdown": gate_reports.markdown,
    "json": gate_reports.as_json,
}


def add_gate(commands: Any) -> None:
    purpose = "compare a version with the one that stands: exit 0 proven, 1 violated, 2 inconclusive, 3 error"
    one = commands.add_parser("gate", help=purpose, description=purpose)
    one.add_argument("new", help="the new version: a file, an id, model@alias or model#number")
    one.add_argument("--model", help="the model of files, of @alias and of #number")
    one.add_argument("--against", default="@production", help="the version that stands (default: @production)")
    one.add_argument("--data", required=True, help="a data set: a name, an id, or a file")
    for name in ("kind", "task", "label", "spec"):
        one.add_argument(f"--{name}", help="how a new file of data is read, as for `lathe dataset`")
    one.add_argument("--criteria", help="a JSON file, or the name or id of saved criteria (default: your default)")
    for name, (_, meaning) in LIMITS.items():
        one.add_argument(f"--{name.replace('_', '-')}", type=number, help=meaning)
    one.add_argument("--seed", type=int)
    one.add_argument("--timeout", type=number, help="seconds to wait for the verdict (default: no limit)")
    for name in FORMATS:
        one.add_argument(f"--{name}", type=Path, metavar="FILE", help=f"write the verdict as {name} to this file")


def number(text: str) -> float:
    """A number of the command line. Raises `ValueError` for those that are none, of which JSON knows no form."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def gate(
    options: argparse.Namespace,
    portal: Callable[[argparse.Namespace], Lathe],
    reading: Callable[[argparse.Namespace], Json | None],
) -> int:
    """Every end, an error too, is written to the files that were asked for, before anything is printed."""
    files = {name: writable(path) for name in FORMATS if (path := getattr(options, name)) is not None}
    try:
        with portal(options) as lathe:
            result = _compared(options, lathe, reading(options))
    except (Exception, KeyboardInterrupt) as error:
        reason = sentence_about(error)
        _write(Result(outcome="error", headline="The versions could not be compared", reason=reason), files)
        raise
    whole = _write(result, files)
    say(gate_reports.table(result))
    return result.exit_code if whole else ERROR


def _write(result: Result, files: dict[str, Path]) -> bool:
    """Whether the result could be written to all files. Those that could not are named on the error stream."""
    written = [_written(path, FORMATS[name](result)) for name, path in files.items()]
    return all(written)


def _written(path: Path, text: str) -> bool:
    try:
        path.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        complain(f"{path} could not be written. {sentence_about(error)}")
        return False
    return True


def _compared(options: argparse.Namespace, lathe: Lathe, spec: Json | None) -> Result:
    progress = Progress(quiet=options.quiet)
    store = Store(lathe, team=options.team, tell=progress.bytes)
    baseline = store.version(options.against, options.model)
    compared = store.version(options.new, options.model)
    dataset = store.dataset(options.data, spec=spec)
    result = run_gate(
        lathe,
        baseline=baseline["id"],
        compared=compared["id"],
        dataset=dataset["id"],
        criteria=_criteria(options, store),
        seed=options.seed,
        timeout_s=options.timeout,
        watch=progress.session,
    )
    progress.end()
    return result


def _criteria(options: argparse.Namespace, store: Store) -> Json:
    """Named criteria with the limits of the command line on top; those limits alone if no criteria are named."""
    limits = {field: value for name, (field, _) in LIMITS.items() if (value := getattr(options, name)) is not None}
    named = store.criteria(options.criteria)
    if not limits:
        return named
    return {**named, "overrides": {"constraints": limits}} if named else {"criteria": {"constraints": limits}}
