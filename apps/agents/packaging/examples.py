"""The examples with which a package checks itself: inputs, and the packaged model's outputs for them.

They are examples of the member's data set, unless these may not leave. In that case, similar inputs are drawn at random
(`drawn_like`).
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
"""How many are packed, if the model's batch is not fixed and they are small enough."""
MOST_BYTES = 16 * 1024 * 1024
"""The most bytes of inputs, and of outputs, in a package."""
LOOKED_AT = 64
"""How many examples determine the ranges from which inputs are drawn."""
_EPOCH = (1980, 1, 1, 0, 0, 0)
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class PackageExamples:
    """Inputs by name, with examples along the first axis, and the packaged model's outputs. Long outputs are
    thinned."""

    inputs: Arrays
    expected: Arrays
    own: bool
    """Whether they are from the member's data set."""
    rows: int
    finding: str | None = None
    """Why outputs cannot be compared, in a sentence."""
    carried: bool = field(default=True)
    """Whether they are small enough to be in the package."""


def package_examples(engine: Engine, dataset: Dataset, threads: int, seed: int) -> PackageExamples:
    """A few examples of `dataset`, or drawn like it, in the form that `engine`'s model takes, with its outputs.

    Raises the errors of the data set and of the runtime.
    """
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
        finding = "the model gives different outputs each time it runs, so they cannot be compared"
        return PackageExamples(inputs, {}, own, rows, finding, _size(inputs) <= MOST_BYTES)
    most = {name: MOST_BYTES // max(1, len(first)) // max(1, array.itemsize) for name, array in first.items()}
    expected = {name: thinned(array, max(1, most[name])) for name, array in first.items()}
    return PackageExamples(inputs, expected, own, rows, carried=_size(inputs) <= MOST_BYTES)


def _looked_at(dataset: Dataset) -> int:
    """How many different examples to read, within `LOOKED_AT` and memory."""
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
    """Random inputs of `rows` examples: every number is in its range in the sample.

    Integers are drawn from the range at the same position, so an index stays a valid index and a mask stays a mask. A
    text is used only if several examples share it; otherwise random letters replace it. Inputs that all examples share
    are unchanged.
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
        # Floats cover the range of every type, but rounding may exceed it at the ends of 64 bits.
        drawn = np.floor(low + random.random(shape) * (high.astype(float) - low + 1))
        return np.asarray(np.clip(drawn, low, high), array.dtype)
    return np.asarray(low + random.random(shape) * (high - low), array.dtype)


def _drawn_texts(column: list[str], rows: int, random: np.random.Generator) -> list[str]:
    """Texts that at least two examples share; without any, random letters of lengths as in the sample."""
    shared = sorted(text for text, count in Counter(column).items() if count > 1)
    if shared:
        return [shared[place] for place in random.integers(0, len(shared), rows)]
    lengths = [len(text) for text in column]
    return [
        "".join(random.choice(list(_LETTERS), random.integers(min(lengths), max(lengths) + 1))) for _ in range(rows)
    ]


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Writes an `.npz` whose bytes depend only on the arrays and their names. Texts are stored without pickle."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            info = zipfile.ZipInfo(f"{name}.npy", date_time=_EPOCH)
            with archive.open(info, "w", force_zip64=True) as file:
                np.lib.format.write_array(file, _storable(array), allow_pickle=False)


def _storable(array: Array) -> Array:
    return array.astype(str) if array.dtype == object else np.asarray(array, order="C")
