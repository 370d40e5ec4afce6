"""Examples as people recognise them: a small picture, the beginning of a text, or the first values of a row."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from apps.agents.contracts.reports.answers import Excerpt
from apps.agents.datasets.images import ImageSource
from apps.agents.datasets.loading import Arrays, Source
from apps.agents.datasets.texts import TextSource

SIDE = 128
"""The most pixels of a picture's side."""
LEAST_SIDE, MOST_SIDE = 8, 512
"""Arrays of other sizes are not drawn as pictures."""
MOST_TEXTS, MOST_CHARACTERS = 6, 400
MOST_VALUES, MOST_NUMBERS = 12, 8
"""How many columns or inputs are shown, and how many numbers of each."""
Array = NDArray[np.generic]


class Shown(NamedTuple):
    """An excerpt, and the file of its picture if it has one."""

    excerpt: Excerpt
    picture: bytes | None = None


def excerpt_of(source: Source, example: int) -> Shown:
    """The example with this number, as stored in the file."""
    if isinstance(source, ImageSource):
        picture, suffix = source.thumbnail(example, SIDE)
        return Shown(Excerpt(picture=f"{example}.{suffix}"), picture)
    if isinstance(source, TextSource):
        return Shown(Excerpt(texts=_texts(source.examples[example].texts)))
    return _of_row(source.rows(np.asarray([example], dtype=np.int64)), example)


def _of_row(row: Arrays, example: int) -> Shown:
    one = {name: np.asarray(array[0]) for name, array in row.items()}
    pictured = next((name for name, array in one.items() if _channels_axis(array) is not None), None)
    if pictured is None:
        return Shown(Excerpt(values=_values(one)))
    picture = _drawn(one.pop(pictured))
    return Shown(Excerpt(values=_values(one), picture=f"{example}.png"), picture)


def _texts(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_shortened(text) for text in texts[:MOST_TEXTS])


def _shortened(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}…"


def _values(row: Mapping[str, Array]) -> tuple[tuple[str, str], ...]:
    return tuple((name, _written(array)) for name, array in list(row.items())[:MOST_VALUES])


def _written(array: Array) -> str:
    values = np.asarray(array).reshape(-1)
    numbers = values.dtype.kind in "fiub"
    first = [f"{value:.6g}" if numbers else _shortened(str(value)) for value in values[:MOST_NUMBERS].tolist()]
    return ", ".join(first) + (f", … ({values.size:,})" if values.size > MOST_NUMBERS else "")


# --- arrays as pictures ----------------------------------------------------------------------------------------------


def _channels_axis(array: Array) -> int | None:
    """The axis of one or three colours of an array that is probably a picture; `None` for any other array."""
    if array.ndim != 3 or array.dtype.kind not in "fiu":
        return None
    for axis in (0, -1):
        height, width = array.shape[1:] if axis == 0 else array.shape[:2]
        if array.shape[axis] in (1, 3) and all(LEAST_SIDE <= side <= MOST_SIDE for side in (height, width)):
            return axis
    return None


def _drawn(array: Array) -> bytes:
    """The numbers as grey or colours, in PNG."""
    values = np.moveaxis(np.asarray(array, dtype=np.float64), _channels_axis(array) or 0, -1)
    pixels = (_scaled(values, whole=array.dtype == np.uint8) * 255).round().astype(np.uint8)
    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    picture.thumbnail((SIDE, SIDE))
    sink = io.BytesIO()
    picture.save(sink, "PNG")
    return sink.getvalue()


def _scaled(values: NDArray[np.float64], *, whole: bool) -> NDArray[np.float64]:
    """The values as 0 to 1: bytes and shares as they are, others from their lowest to their highest."""
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    if whole:
        return values / 255
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 1:
        return values
    return (values - low) / ((high - low) or 1.0)
