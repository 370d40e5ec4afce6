"""The examples that a package carries and checks itself against: inputs, and what the packaged model gives for them.

They are the member's own unless those may not leave; then inputs are drawn that are like them (`drawn_like`).
"""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from apps.agents.contracts.criteria import Target
from apps.agents.datasets.layout import FIRST, Layout
from apps.agents.datasets.loading import Arrays, Dataset
from apps.agents.measuring.engine import Array, Engine, fixed_batch
from apps.agents.packaging.script import flat, thinned

EXAMPLES = 4
"""As many as are packed, where the model leaves the choice and they are small enough."""
MOST_BYTES = 16 * 1024 * 1024
"""Of the inputs, and of the outputs, in a package."""
LOOKED_AT = 64
"""Examples whose ranges inputs are drawn from."""
_EPOCH = (1980, 1, 1, 0, 0, 0)
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class PackageExamples:
    """Inputs by name, first axis the examples, and the outputs of the packaged model, thinned where they are long."""

    inputs: Arrays
    expected: Arrays
    own: bool
    """Whether they are the member's own."""
    rows: int
    finding: str | None = None
    """Why there is nothing to compare the outputs with, in a sentence."""
    carried: bool = field(default=True)
    """Whether they are small enough for the package."""


def package_examples(engine: Engine, dataset: Dataset, threads: int, seed: int) -> PackageExamples:
    """A few examples of `dataset` as `engine`'s model takes them. Raises what the data and the runtime do."""
    own = dataset.spec.examples_may_leave
    fixed = fixed_batch(engine.summary.inputs, dataset.layout)
    for rows in (fixed,) if fixed else _fewer(dataset.affordable_batch(EXAMPLES)):
        sample = dataset.first(rows if own else _looked_at(dataset))
        inputs = sample if own else drawn_like(sample, rows, seed, dataset.layout)
        if _size(inputs) <= MOST_BYTES:
            break
    run = engine.session(Target(threads=threads))
    names = [output.name for output in engine.summary.outputs]
    first, second = (flat(dict(zip(names, run(inputs), strict=True))) for _ in range(2))
    if not _equal(first, second):
        finding = "the model gives other outputs each time it runs, so there is nothing to compare them with"
        return PackageExamples(inputs, {}, own, rows, finding, _size(inputs) <= MOST_BYTES)
    most = {name: MOST_BYTES // max(1, len(first)) // max(1, array.itemsize) for name, array in first.items()}
    expected = {name: thinned(array, max(1, most[name])) for name, array in first.items()}
    return PackageExamples(inputs, expected, own, rows, carried=_size(inputs) <= MOST_BYTES)


def _looked_at(dataset: Dataset) -> int:
    """How many different examples there are to look at, within `LOOKED_AT` and memory."""
    return min(dataset.affordable_batch(LOOKED_AT), max(1, len(dataset.evaluation_indices)))


def _fewer(rows: int) -> Iterator[int]:
    while rows > 1:
        yield rows
        rows //= 2
    yield 1


def _size(arrays: Mapping[str, Array]) -> int:
    return sum(_storable(array).nbytes for array in arrays.values())


def _equal(first: Mapping[str, Array], second: Mapping[str, Array]) -> bool:
    return first.keys() == second.keys() and all(
        np.array_equal(array, second[name], equal_nan=array.dtype.kind in "fc") for name, array in first.items()
    )


def drawn_like(sample: Mapping[str, Array], rows: int, seed: int, layout: Layout = FIRST) -> Arrays:
    """Inputs of `rows` examples that nobody has given: every number lies in the range that it has in the sample.

    Whole numbers keep to what stands at their place, so that an index stays one and a mask a mask. Of texts only those
    are used that several examples share; where there are none, random letters take their place. What all examples
    share stays.
    """
    random = np.random.default_rng(seed)
    drawn = {}
    for name, array in sample.items():
        axis = layout.axis(name)
        if axis is None or axis >= array.ndim:
            drawn[name] = array
        else:
            drawn[name] = np.moveaxis(_drawn(np.moveaxis(array, axis, 0), rows, random), 0, axis)
    return drawn


def _drawn(array: Array, rows: int, random: np.random.Generator) -> Array:
    shape = (rows, *array.shape[1:])
    if array.dtype.kind in "OSU":
        flat_columns = array.reshape(len(array), -1).T
        columns = [_drawn_texts([str(text) for text in column], rows, random) for column in flat_columns]
        return np.array(columns, dtype=object).T.reshape(shape)
    low, high = array.min(axis=0), array.max(axis=0)
    if array.dtype.kind == "b":
        return np.asarray((random.integers(0, 2, shape).astype(bool) & high) | low)
    if array.dtype.kind in "iu":
        # In floats every type's range fits; rounding may leave it at the very ends of 64 bits.
        drawn = np.floor(low + random.random(shape) * (high.astype(float) - low + 1))
        return np.asarray(np.clip(drawn, low, high), array.dtype)
    return np.asarray(low + random.random(shape) * (high - low), array.dtype)


def _drawn_texts(column: list[str], rows: int, random: np.random.Generator) -> list[str]:
    """Values that at least two different examples have; else letters, as many as the sample's texts have."""
    shared = sorted(text for text, count in Counter(column).items() if count > 1)
    if shared:
        return [shared[place] for place in random.integers(0, len(shared), rows)]
    lengths = [len(text) for text in column]
    return [
        "".join(random.choice(list(_LETTERS), random.integers(min(lengths), max(lengths) + 1))) for _ in range(rows)
    ]


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """An `.npz` whose bytes depend on the arrays alone, whatever they are called; texts without a pickle."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            info = zipfile.ZipInfo(f"{name}.npy", date_time=_EPOCH)
            with archive.open(info, "w", force_zip64=True) as file:
                np.lib.format.write_array(file, _storable(array), allow_pickle=False)


def _storable(array: Array) -> Array:
    return array.astype(str) if array.dtype == object else np.asarray(array, order="C")
