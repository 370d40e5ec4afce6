"""Pictures in class folders, decoded batch by batch directly from the zip."""

from __future__ import annotations

import io
import lzma
import struct
import warnings
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.errors.datasets import ImageBroken
from apps.agents.contracts.image_preprocessing import ImagePreprocessing
from apps.agents.contracts.reports.dataset import DatasetSummary
from apps.agents.files.archives import Entry
from apps.agents.files.dataset_headers import summarize_images
from apps.agents.files.image_folders import image_folders
from apps.agents.files.picture_kinds import HEAD_BYTES, READ, kind_of_bytes

Array = NDArray[np.generic]

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
Image.init()  # Registers all decoders by name; by default Pillow registers only the most common.
_DECODERS = (*READ, "DIB")
"""Other formats, not used for data sets, are not opened: each decoder is one more target for hostile files."""
ANIMATED = "have several frames, and only the first is used"
TRANSPARENT = "have transparency, which is dropped, as image loaders do, so the colours below it show"
SMALL = 64
"""Thumbnails up to this side keep every pixel."""
DARK_BELOW = 0x1000
DARK = "have 16 bits but use at most the lowest 12, so they become nearly black: scale them to all 16"
DEEP = {"I": "32-bit integers", "F": "32-bit floating-point numbers"}
_DECODING_ERRORS = (
    UnidentifiedImageError,
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    # Raised by decoders for a damaged table, such as EXIF.
    struct.error,
    KeyError,
    IndexError,
    TypeError,
    OverflowError,
    ZeroDivisionError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


class ImageSource:
    """A zip of class folders as preprocessed rows of the input `image`. Labels are the folders' class numbers."""

    def __init__(self, path: Path, spec: DatasetSpec) -> None:
        folders = image_folders(path, spec)
        self.summary: DatasetSummary = summarize_images(folders, spec, path.stat().st_size)
        self.groups: Array | None = None
        self.output_labels: dict[str, Array] = {}
        self.labels: Array | None = np.asarray(folders.labels, dtype=np.int64)
        self._entries = folders.entries
        self._preprocessing = spec.preprocessing
        self._archive = zipfile.ZipFile(path)
        self._met: defaultdict[str, set[str]] = defaultdict(set)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What was unusual about the decoded pictures, in sentences."""
        return tuple(f"{len(names):,} of the decoded pictures {what}." for what, names in sorted(self._met.items()))

    def broken(self, indices: NDArray[np.int64]) -> list[ImageBroken]:
        """The errors of those pictures at `indices` that cannot be decoded."""
        found = []
        for index in indices:
            try:
                self._tensor(self._entries[index])
            except ImageBroken as error:
                found.append(error)
        return found

    def rows(self, indices: NDArray[np.int64]) -> dict[str, Array]:
        """The pictures at `indices`, decoded and preprocessed. Raises `ImageBroken` with the picture's name."""
        pictures = [self._tensor(self._entries[index]) for index in indices]
        shape = (0, *self._preprocessing.shape)
        return {"image": np.stack(pictures) if pictures else np.empty(shape, self._preprocessing.dtype)}

    def content(self, index: int) -> bytes:
        """The picture's file, unchanged."""
        return self._archive.read(self._entries[index].info)

    def thumbnail(self, index: int, side: int) -> tuple[bytes, str]:
        """The picture as people see it, at most `side` pixels wide and high, as the bytes of a file and its suffix."""
        with Image.open(io.BytesIO(self.content(index)), formats=_DECODERS) as opened:
            picture = _in_eight_bits(ImageOps.exif_transpose(opened), opened.format).convert("RGB")
        picture.thumbnail((side, side))
        suffix, kind = ("png", "PNG") if max(picture.size) <= SMALL else ("jpg", "JPEG")
        sink = io.BytesIO()
        picture.save(sink, kind, quality=85)
        return sink.getvalue(), suffix

    def _tensor(self, entry: Entry) -> Array:
        try:
            with self._archive.open(entry.info) as file:
                return preprocess(file, self._preprocessing, lambda what: self._met[what].add(str(entry.name)))
        except _DECODING_ERRORS as error:
            raise ImageBroken(name=str(entry.name), reason=self._reason(entry, error)) from error

    def _reason(self, entry: Entry, error: Exception) -> str:
        if not isinstance(error, UnidentifiedImageError):
            return str(error) or type(error).__name__
        with self._archive.open(entry.info) as file:
            head = file.read(HEAD_BYTES)
        kind = kind_of_bytes(head)
        if kind is None:
            return "its content is not a picture" if head else "it is empty"
        return f"its content is {kind}, which is {'damaged' if kind in READ else 'not supported'}"


def preprocess(file: IO[bytes], how: ImagePreprocessing, tell: Callable[[str], None] | None = None) -> Array:
    """One picture as the tensor `how` describes, without the batch axis. `tell` receives what was left out of it."""
    with warnings.catch_warnings():
        # Pillow only warns between once and twice its pixel limit, but no real example is that large.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(file, formats=_DECODERS) as opened:
            if tell is not None:
                for what in _left_out(opened):
                    tell(what)
            picture = _colours(_in_eight_bits(ImageOps.exif_transpose(opened), opened.format), how)
    pixels = np.asarray(_fitted(picture, how))
    if how.color == "L":
        pixels = pixels[:, :, np.newaxis]
    elif how.color == "BGR":
        pixels = pixels[:, :, ::-1]
    tensor: Array = pixels
    if how.dtype == "float32":
        mean, std = np.asarray(how.mean, np.float32), np.asarray(how.std, np.float32)
        tensor = (pixels.astype(np.float32) * np.float32(how.scale) - mean) / std
    return np.ascontiguousarray(tensor.transpose(2, 0, 1) if how.layout == "NCHW" else tensor)


def _left_out(picture: Image.Image) -> list[str]:
    """What a model for colour pictures does not receive."""
    found = []
    if getattr(picture, "n_frames", 1) > 1 and picture.format != "MPO":  # phones add a preview to their JPEG files
        found.append(ANIMATED)
    if _has_transparent_pixels(picture):
        found.append(TRANSPARENT)
    if picture.mode.startswith("I") and np.asarray(picture).max() < DARK_BELOW:
        found.append(DARK)
    return found


def _has_transparent_pixels(picture: Image.Image) -> bool:
    if not picture.has_transparency_data:
        return False
    return bool(np.asarray(picture.convert("RGBA").getchannel("A")).min() < 255)


def _colours(picture: Image.Image, how: ImagePreprocessing) -> Image.Image:
    if how.color != "L":
        return picture.convert("RGB")
    # Ink and perceptual colour spaces can be converted to grey only via RGB.
    return (picture if picture.mode in ("1", "L", "LA", "P", "RGB", "RGBA") else picture.convert("RGB")).convert("L")


def _in_eight_bits(picture: Image.Image, kind: str | None) -> Image.Image:
    """16-bit grey reduced to its upper eight bits, as the decoders do for colours. Pillow would clip it at 255."""
    if picture.mode.startswith("I;16"):
        values = np.asarray(picture).astype(np.uint16)
    elif picture.mode == "I" and kind in ("PNG", "PPM"):
        values = np.asarray(picture).clip(0, 0xFFFF).astype(np.uint16)
    elif picture.mode in ("I", "F"):
        raise ValueError(f"its pixels are {DEEP[picture.mode]} without a range: save it with 8 or 16 bits a channel")
    else:
        return picture
    return Image.fromarray((values >> 8).astype(np.uint8))


def _fitted(picture: Image.Image, how: ImagePreprocessing) -> Image.Image:
    """The picture resized to the required side and cropped in the centre, or stretched."""
    resampling = _FILTERS[how.interpolation]
    if how.resize is None:
        return picture.resize((how.width, how.height), resampling)
    factor = how.resize / min(picture.size)
    width, height = (max(side, round(length * factor)) for side, length in zip((1, 1), picture.size, strict=True))
    # A crop wider than the resized picture would be filled with black, so the picture is enlarged instead.
    grow = max(1.0, how.width / width, how.height / height)
    width, height = round(width * grow), round(height * grow)
    left, top = (width - how.width) // 2, (height - how.height) // 2
    resized = picture.resize((width, height), resampling)
    return resized.crop((left, top, left + how.width, top + how.height))
