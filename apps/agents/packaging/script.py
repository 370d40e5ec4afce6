"""Run the model of this package: python run.py [examples.npz] [--bench] [--threads N]

Without a file, the model runs on the package's examples, and its outputs are compared with the measured ones. A file of
your own must contain one array for each input, with the input's name. With --bench, the runs are timed.
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
"""The largest difference allowed, as a share of an output's largest value: kernels of other machines round differently,
8-bit kernels most."""
TINY = 1e-6
WARM_UP_RUNS = 5
BENCH_S = 3.0
BENCH_RUNS = 1000


def needs() -> list[str]:
    """The distributions with which the model was tried, as `name==version`."""
    listed = HERE / "requirements.txt"
    return listed.read_text(encoding="utf-8").split() if listed.exists() else []


def needs_in_words() -> str:
    """These distributions in a sentence, with the command that installs them."""
    return f"This model needs {', '.join(needs())}. To install them: pip install -r {HERE / 'requirements.txt'}"


def other_versions() -> list[str]:
    """The distributions that are installed here in another version than the model was tried with."""
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
    sys.exit(f"numpy is not installed here. {needs_in_words()}")


# --- the model's files ------------------------------------------------------------------------------------------------


def restore(folder: Path) -> None:
    """Unpacks files in Zstandard beside themselves, once. Ends the program with a sentence if the library is missing.

    Each has a checksum, and the library refuses what does not match it.
    """
    waiting = [file for file in sorted(folder.rglob("*.zst")) if not file.with_suffix("").exists()]
    if not waiting:
        return
    try:
        import zstandard
    except ImportError:
        sys.exit(f"zstandard is not installed here, and {waiting[0].name} is compressed. {needs_in_words()}")
    for file in waiting:
        unfinished = file.with_suffix(".part")
        with file.open("rb") as reader, unfinished.open("wb") as writer:
            zstandard.ZstdDecompressor().copy_stream(reader, writer)
        unfinished.replace(file.with_suffix(""))


# --- outputs ----------------------------------------------------------------------------------------------------------


def flat(results: Mapping[str, Any]) -> Arrays:
    """Every output as arrays: one for each entry of a sequence, one for each key of a map, one column for each key of a
    list of maps."""
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
    """A list of maps with the same keys, one per row, as a map of columns; `None` for anything else."""
    if not rows or not all(isinstance(row, Mapping) and row.keys() == rows[0].keys() for row in rows):
        return None
    return {key: np.asarray([row[key] for row in rows]) for key in rows[0]}


def shown(name: str, array: Any) -> str:
    """One output in one line: name, type, shape, first values."""
    return "  ".join((name, str(array.dtype), str(array.shape), str(array.ravel()[:8])))


def thinned(array: Any, most: int) -> Any:
    """The values in one row. Of more than `most` values, only every n-th, so that at most that many are left."""
    return array.ravel()[:: max(1, -(-array.size // most))]


def differences(results: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """The differences from the expected outputs, one clause each. `expected` may contain only every n-th value."""
    by_name = results if expected.keys() <= results.keys() else dict(zip(expected, results.values(), strict=False))
    found = []
    for name, wanted in expected.items():
        if name not in by_name:
            found.append(f"the output {name} is missing")
        elif problem := _difference(thinned(by_name[name], max(1, wanted.size)), wanted.ravel()):
            found.append(f"{name} {problem}")
    return found


def _difference(result: Any, wanted: Any) -> str | None:
    if result.shape != wanted.shape:
        return f"has {result.size} values instead of the measured {wanted.size}"
    if wanted.dtype.kind not in "fc" or result.dtype.kind not in "fc":
        wrong = int(np.sum(result != wanted))
        return f"differs in {wrong} of {wanted.size} values" if wrong else None
    finite = np.isfinite(wanted)
    if not np.array_equal(result[~finite], wanted[~finite], equal_nan=True) or not np.isfinite(result[finite]).all():
        return "has NaN or infinite values at other positions"
    apart = np.abs(result[finite].astype("float64") - wanted[finite])
    allowed = TOLERANCE * float(np.abs(wanted[finite]).max(initial=0.0)) + TINY
    worst = float(apart.max(initial=0.0))
    return f"differs by up to {worst:.3g}, but only {allowed:.3g} is allowed" if worst > allowed else None


# --- inputs -----------------------------------------------------------------------------------------------------------


def feeds_of(path: Path, names: list[str]) -> Arrays:
    """The arrays in a file, by input name. Ends the program with a sentence if one is missing."""
    if not path.exists():
        sys.exit(f"The file {path} does not exist. Give a file with one array for each input: {', '.join(names)}.")
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    if len(names) == len(arrays) == 1:
        return {names[0]: next(iter(arrays.values()))}
    if missing := [name for name in names if name not in arrays]:
        sys.exit(f"{path.name} does not have an array for {', '.join(missing)}. The inputs are {', '.join(names)}.")
    return {name: arrays[name] for name in names}


def read_arrays(path: Path) -> Arrays:
    """All arrays of a file, in its order; empty if the file does not exist."""
    if not path.exists():
        return {}
    with np.load(path) as stored:
        return {name: stored[name] for name in stored.files}


# --- the program ------------------------------------------------------------------------------------------------------


def bench(run: Callable[[Arrays], Any], feeds: Arrays, threads: int) -> str:
    """Times single runs. Returns the result as a sentence."""
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
    """Prints how the outputs compare with the measured ones. Returns the exit status."""
    expected = read_arrays(HERE / "expected.npz")
    if not expected:
        print("The package does not contain outputs to compare these with.")
        return 0
    if not (found := differences(results, expected)):
        print(f"The same outputs as were measured, within {TOLERANCE:.0%} of the largest value of each.")
        return 0
    others = "; ".join(other_versions())
    print(f"Other outputs than were measured: {'; '.join(found)}.", file=sys.stderr)
    print(f"Installed here: {others}." if others else "The libraries have the expected versions.", file=sys.stderr)
    return 1


def _runtime() -> ModuleType:
    """The module `runtime.py` of the package, which knows the model's framework."""
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
        epilog=needs_in_words(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("examples", nargs="?", type=Path, help="an .npz with one array for each input")
    parser.add_argument("--bench", action="store_true", help="time the model")
    parser.add_argument("--threads", type=int, default=1, help="number of threads (default: 1)")
    if prompts:
        parser.add_argument("--prompt", help="a text for the language model to continue")
    return parser.parse_args()


def main() -> int:
    """Runs the command line. Returns the exit status."""
    given = _arguments(prompts=(HERE / "model" / "tokenizer_config.json").exists())
    try:
        restore(HERE)
        runtime = _runtime()
        described = HERE / "inputs.json"
        inputs = json.loads(described.read_text(encoding="utf-8")) if described.exists() else {}
        if getattr(given, "prompt", None) is not None:
            print(runtime.write_on(given.prompt))
            return 0
        names, run = runtime.load(HERE, inputs, given.threads)
    except ImportError as error:
        print(f"{error.name or error} cannot be imported here. {needs_in_words()}", file=sys.stderr)
        return 2
    except Exception:
        print(f"The model cannot be opened here. {needs_in_words()}", file=sys.stderr)
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
