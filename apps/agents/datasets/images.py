"""Pictures in class folders, decoded batch by batch straight from the zip."""

from __future__ import annotations

import lzma
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from apps.agents.archives import Entry
from apps.agents.dataset_headers import summarize_images
from apps.agents.dataset_spec import DatasetSpec, ImagePreprocessing
from apps.agents.errors import ImageBroken
from apps.agents.image_folders import image_folders
from apps.agents.reports import DatasetSummary

Array = NDArray[np.generic]

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
_DECODING_ERRORS = (
    UnidentifiedImageError,
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


class ImageSource:
    """A zip of class folders as preprocessed rows of the input `image`; labels are the folders' class numbers."""

    def __init__(self, path: Path, spec: DatasetSpec) -> None:
        folders = image_folders(path, spec)
        self.summary: DatasetSummary = summarize_images(folders, spec, path.stat().st_size)
        self.labels: Array | None = np.asarray(folders.labels, dtype=np.int64)
        self._entries = folders.entries
        self._preprocessing = spec.preprocessing
        self._archive = zipfile.ZipFile(path)

    def rows(self, indices: NDArray[np.int64]) -> dict[str, Array]:
        """The named pictures, decoded and preprocessed. Raises `ImageBroken` with the picture's name."""
        pictures = [self._tensor(self._entries[index]) for index in indices]
        shape = (0, *self._preprocessing.shape)
        return {"image": np.stack(pictures) if pictures else np.empty(shape, self._preprocessing.dtype)}

    def content(self, index: int) -> bytes:
        """The picture's file as it stands in the archive."""
        return self._archive.read(self._entries[index].info)

    def _tensor(self, entry: Entry) -> Array:
        try:
            with self._archive.open(entry.info) as file:
                return preprocess(file, self._preprocessing)
        except _DECODING_ERRORS as error:
            raise ImageBroken(name=str(entry.name), reason=str(error) or type(error).__name__) from error


def preprocess(file: IO[bytes], how: ImagePreprocessing) -> Array:
    """One picture as the tensor `how` describes, without the batch axis."""
    with warnings.catch_warnings():
        # Pillow only warns between its limit and twice its limit of pixels; no honest example is that large.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(file) as opened:
            picture = ImageOps.exif_transpose(opened).convert("L" if how.color == "L" else "RGB")
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


def _fitted(picture: Image.Image, how: ImagePreprocessing) -> Image.Image:
    """Resized to the wanted side and cropped in the centre, or stretched."""
    resampling = _FILTERS[how.interpolation]
    if how.resize is None:
        return picture.resize((how.width, how.height), resampling)
    factor = how.resize / min(picture.size)
    width, height = (max(side, round(length * factor)) for side, length in zip((1, 1), picture.size, strict=True))
    # A crop that is wider than the resized picture would be filled with black: grow the picture to it instead.
    grow = max(1.0, how.width / width, how.height / height)
    width, height = round(width * grow), round(height * grow)
    left, top = (width - how.width) // 2, (height - how.height) // 2
    resized = picture.resize((width, height), resampling)
    return resized.crop((left, top, left + how.width, top + how.height))
