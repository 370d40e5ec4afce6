"""Run the model of this package: python run.py [examples.npz] [--bench] [--threads N]

Without a file the examples of the package go through the model, and its outputs are compared with those that were
measured. A file of your own holds one array for each input, named as the input. With --bench the runs are timed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

HERE = Path(__file__).parent
Arrays = dict[str, Any]
TOLERANCE = 0.02
"""Of an output's largest value: kernels of other machines round otherwise, those of 8 bits most."""
TINY = 1e-6
WARM_UP_RUNS = 5
BENCH_S = 3.0
BENCH_RUNS = 1000


def needs() -> list[str]:
    """The distributions that the model was tried with, as `name==version`."""
    listed = HERE / "requirements.txt"
    return listed.read_text(encoding="utf-8").split() if listed.exists() else []


def needs_said() -> str:
    """All of them in a sentence."""
    return f"This model needs {', '.join(needs())}: pip install -r {HERE / 'requirements.txt'} brings them."


def other_versions() -> list[str]:
    """What is installed here in another version than the model was tried with."""
    pairs = [need.split("==") for need in needs()]
    return [f"{name} {metadata.version(name)}, not {wanted}" for name, wanted in pairs if _installed(name) != wanted]


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


try:
    import numpy as np
except ImportError:
    sys.exit(f"numpy is not installed here. {needs_said()}")


# --- outputs ----------------------------------------------------------------------------------------------------------


def flat(results: Mapping[str, Any]) -> Arrays:
    """Every output as arrays: of a sequence one for each entry, of a map one for each key, of maps by row a column."""
    return {name: array for output, value in results.items() for name, array in _leaves(output, value)}


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(f"{name}[{key}]", inner)
    elif isinstance(value, list | tuple):
        if columns := _columns(value):
            yield from _leaves(name, columns)
        else:
            for place, inner in enumerate(value):
                yield from _leaves(f"{name}[{place}]", inner)
    elif value is not None:
        array = np.asarray(value)
        yield name, array.astype(str) if array.dtype == object else array


def _columns(rows: list[Any] | tuple[Any, ...]) -> dict[Any, Any] | None:
    """Maps with the same keys, one a row, as a map of columns; `None` for anything else."""
    if not rows or not all(isinstance(row, Mapping) and row.keys() == rows[0].keys() for row in rows):
        return None
    return {key: np.asarray([row[key] for row in rows]) for key in rows[0]}


def shown(name: str, array: Any) -> str:
    """One output in a line: type, shape, the first values."""
    return "  ".join((name, str(array.dtype), str(array.shape), str(array.ravel()[:8])))


def thinned(array: Any, most: int) -> Any:
    """The values in one row; of more than `most` every n-th, so that no more are left."""
    return array.ravel()[:: max(1, -(-array.size // most))]


def differences(results: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """What differs from the expected outputs, each a sentence. They may hold every n-th value only."""
    by_name = results if expected.keys() <= results.keys() else dict(zip(expected, results.values(), strict=False))
    found = []
    for name, wanted in expected.items():
        if name not in by_name:
            found.append(f"there is no output {name}")
        elif problem := _difference(thinned(by_name[name], max(1, wanted.size)), wanted.ravel()):
            found.append(f"{name} {problem}")
    return found


def _difference(result: Any, wanted: Any) -> str | None:
    if result.shape != wanted.shape:
        return f"has another size than the {wanted.size} values that were measured"
    if wanted.dtype.kind not in "fc" or result.dtype.kind not in "fc":
        wrong = int(np.sum(result != wanted))
        return f"differs in {wrong} of {wanted.size} values" if wrong else None
    finite = np.isfinite(wanted)
    if not np.array_equal(result[~finite], wanted[~finite], equal_nan=True) or not np.isfinite(result[finite]).all():
        return "has NaN or infinite values at other places"
    apart = np.abs(result[finite].astype("float64") - wanted[finite])
    allowed = TOLERANCE * float(np.abs(wanted[finite]).max(initial=0.0)) + TINY
    worst = float(apart.max(initial=0.0))
    return f"differs by up to {worst:.3g}, and {allowed:.3g} is allowed" if worst > allowed else None


# --- inputs -----------------------------------------------------------------------------------------------------------


def feeds_of(path: Path, names: list[str]) -> Arrays:
    """The arrays in a file by the names of the inputs. Ends the program with a sentence where one is missing."""
    if not path.exists():
        sys.exit(f"There is no file {path}. Give one with an array for each input: {', '.join(names)}.")
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    if len(names) == len(arrays) == 1:
        return {names[0]: next(iter(arrays.values()))}
    if missing := [name for name in names if name not in arrays]:
        sys.exit(f"{path.name} has no array for {', '.join(missing)}; the model takes {', '.join(names)}.")
    return {name: arrays[name] for name in names}


def read_arrays(path: Path) -> Arrays:
    """All arrays of a file, in its order; nothing where there is none."""
    if not path.exists():
        return {}
    with np.load(path) as stored:
        return {name: stored[name] for name in stored.files}


# --- the program ------------------------------------------------------------------------------------------------------


def bench(run: Callable[[Arrays], Any], feeds: Arrays, threads: int) -> str:
    """Times single runs and says what came out."""
    for _ in range(WARM_UP_RUNS):
        run(feeds)
    times: list[float] = []
    begin = time.perf_counter()
    while len(times) < 3 or (len(times) < BENCH_RUNS and time.perf_counter() - begin < BENCH_S):
        start = time.perf_counter()
        run(feeds)
        times.append(1e3 * (time.perf_counter() - start))
    shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in feeds.items())
    slow = statistics.quantiles(times, n=20)[-1]
    return (
        f"p50 {statistics.median(times):.4g} ms, p95 {slow:.4g} ms: {len(times)} runs of {shapes} "
        f"after {WARM_UP_RUNS} to warm up, {threads} thread{'s' * (threads != 1)}."
    )


def checked(results: Arrays) -> int:
    """Says how the outputs stand to those that were measured; the exit status."""
    expected = read_arrays(HERE / "expected.npz")
    if not expected:
        print("The package holds no outputs to compare these with.")
        return 0
    if not (found := differences(results, expected)):
        print(f"The same outputs as were measured, within {TOLERANCE:.0%} of the largest value of each.")
        return 0
    others = "; ".join(other_versions())
    print(f"Other outputs than were measured: {'; '.join(found)}.", file=sys.stderr)
    print(f"Installed here: {others}." if others else "The versions are those it was tried with.", file=sys.stderr)
    return 1


def _runtime() -> ModuleType:
    """The part of this program that knows the model's framework."""
    spec = importlib.util.spec_from_file_location("packaged_runtime", HERE / "runtime.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _arguments(prompts: bool) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="run.py",
        description=__doc__,
        epilog=needs_said(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("examples", nargs="?", type=Path, help="an .npz with one array for each input")
    parser.add_argument("--bench", action="store_true", help="time the model")
    parser.add_argument("--threads", type=int, default=1, help="threads to compute with, 1 unless given")
    if prompts:
        parser.add_argument("--prompt", help="text for a language model to write on")
    return parser.parse_args()


def main() -> int:
    """The command line; returns the exit status."""
    given = _arguments(prompts=(HERE / "model" / "tokenizer_config.json").exists())
    try:
        runtime = _runtime()
        described = HERE / "inputs.json"
        told = json.loads(described.read_text(encoding="utf-8")) if described.exists() else {}
        if getattr(given, "prompt", None) is not None:
            print(runtime.write_on(given.prompt))
            return 0
        names, run = runtime.load(HERE, told, given.threads)
    except ImportError as error:
        print(f"{error.name or error} cannot be imported here. {needs_said()}", file=sys.stderr)
        return 2
    except Exception:
        print(f"The model cannot be opened here. {needs_said()}", file=sys.stderr)
        raise
    feeds = feeds_of(given.examples or HERE / "examples.npz", names)
    results = flat(run(feeds))
    for name, array in results.items():
        print(shown(name, array))
    if given.bench:
        print(bench(run, feeds, given.threads))
    return checked(results) if given.examples is None else 0


if __name__ == "__main__":
    sys.exit(main())
