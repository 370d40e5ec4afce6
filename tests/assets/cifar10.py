"""CIFAR-10 as small pictures, and as an ImageNet network wants them. Both the tests and a recipe use it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIDE = 224
MEAN, SPREAD = 127, 128
"""What EfficientNet-lite was trained with: (x - 127) / 128."""


def read_pictures(sheet: Path) -> np.ndarray:
    """The pictures uint8 [N, 32, 32, 3] of a sheet whose every row is one picture."""
    return np.asarray(Image.open(sheet).convert("RGB")).reshape(-1, 32, 32, 3)


def read_labels(path: Path) -> np.ndarray:
    """Class indices int64 [N], in the order of `CLASSES`."""
    return np.array(json.loads(path.read_text()), dtype=np.int64)


def enlarged(pictures: np.ndarray) -> np.ndarray:
    """`pictures` as float32 [N, 3, 224, 224], bicubic, about -1 to 1."""
    large = np.stack(
        [np.asarray(Image.fromarray(one).resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for one in pictures]
    )
    return ((large.astype(np.float32) - MEAN) / SPREAD).transpose(0, 3, 1, 2)
