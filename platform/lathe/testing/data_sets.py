"""Data sets with as many examples as are asked for, as the arrays, rows or bytes that Lathe accepts."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Arrays = dict[str, Array]

NOISE = 0.3
"""Standard deviation around the centre of a class, whose own is 1: most examples can be told apart."""
WORDS = ("a", "boat", "bright", "cat", "dull", "film", "good", "happy", "long", "night", "poor", "sad", "slow", "the")
PIECE_BYTES = 8 * 2**20


# --- examples --------------------------------------------------------------------------------------------------------


def features(rows: int, columns: int = 16, classes: int = 10, seed: int = 0) -> Arrays:
    """`x` float32 [rows, columns] near the centre of its class, and `y`, the class; every class in turn."""
    random = np.random.default_rng(seed)
    y = np.arange(rows) % classes
    centres = random.normal(size=(classes, columns))
    return {"x": (centres[y] + random.normal(0, NOISE, (rows, columns))).astype(np.float32), "y": y}


def pictures(rows: int, side: int = 32, channels: int = 3, classes: int = 10, seed: int = 0) -> Arrays:
    """`x` uint8 [rows, channels, side, side] and `y`: each class has a pattern of its own, under noise."""
    random = np.random.default_rng(seed)
    y = np.arange(rows) % classes
    patterns = random.uniform(40, 215, (classes, channels, side, side))
    noisy = patterns[y] + random.normal(0, 20, (rows, channels, side, side))
    return {"x": noisy.clip(0, 255).astype(np.uint8), "y": y}


def regression(rows: int, columns: int = 16, seed: int = 0) -> Arrays:
    """`x` float32 [rows, columns], and `y` float32 [rows]: a linear function of `x`, under noise."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, columns))
    y = x @ random.normal(size=columns) + random.normal(0, NOISE, rows)
    return {"x": x.astype(np.float32), "y": y.astype(np.float32)}


def tokens(rows: int, length: int = 64, vocabulary: int = 1000, classes: int = 2, seed: int = 0) -> Arrays:
    """`input_ids` int64 [rows, length], whose class `y` uses its own part of the vocabulary more often than others."""
    random = np.random.default_rng(seed)
    y = np.arange(rows) % classes
    part = vocabulary // classes
    own = random.integers(0, part, (rows, length)) + y[:, np.newaxis] * part
    anywhere = random.integers(0, vocabulary, (rows, length))
    return {"input_ids": np.where(random.random((rows, length)) < 0.5, own, anywhere).astype(np.int64), "y": y}


def texts(rows: int, words: int = 12, classes: int = 2, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Sentences of `words` plain words, `text`, each with a `label`."""
    random = np.random.default_rng(seed)
    for row in range(rows):
        chosen = random.choice(WORDS, words)
        yield {"text": " ".join(chosen.tolist()), "label": row % classes}


# --- files -----------------------------------------------------------------------------------------------------------


def npz(**arrays: Array) -> bytes:
    """The arrays in an `.npz`. Nothing is pickled."""
    sink = io.BytesIO()
    np.savez(sink, allow_pickle=False, **arrays)
    return sink.getvalue()


def table(arrays: Mapping[str, Array], inputs: Sequence[str] = ("x",)) -> bytes:
    """A CSV with a column for each entry of the `inputs` (`x0`, `x1`, …) and one for every other array."""
    columns: dict[str, Array] = {}
    for name, array in arrays.items():
        flat = array.reshape(len(array), -1)
        columns |= (
            {f"{name}{place}": flat[:, place] for place in range(flat.shape[1])} if name in inputs else {name: array}
        )
    sink = io.StringIO(newline="")
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))
    return sink.getvalue().encode()


def jsonl(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """One JSON object a line."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def table_of_size(size_bytes: int) -> Iterator[bytes]:
    """A CSV of exactly `size_bytes` in pieces, so that it takes no memory. Its last line may be cut."""
    head = b"a,b,c,d,e,f,y\n"
    yield head[:size_bytes]
    row = b"0.125,0.250,0.375,0.500,0.625,0.750,0.875\n"
    block = row * (PIECE_BYTES // len(row))
    for sent in range(len(head), size_bytes, len(block)):
        yield block[: size_bytes - sent]
