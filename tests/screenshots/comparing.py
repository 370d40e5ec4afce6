"""How far a picture differs from the accepted one."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

SCALE = 0.5
"""Of a picture that is kept: enough to see what moved, and small."""
QUALITY = 70
DIFFERENT = 40
"""Of 255 levels of grey. Less is the picture's compression, and how edges of letters are smoothed."""
TOLERANCE = 0.001
"""The share of a picture that may differ: some words, and not a control."""
LONGER = 4
"""Pixels of a kept picture by which the height may differ."""


@dataclass(frozen=True)
class Difference:
    """Between what was accepted and what is seen."""

    share: float
    """Of the pixels; 1 where the sizes differ."""
    reason: str = ""

    @property
    def tolerable(self) -> bool:
        return self.share <= TOLERANCE


def kept(png: bytes) -> bytes:
    """A picture as it is kept: WebP, at half its size."""
    picture = Image.open(BytesIO(png)).convert("RGB")
    size = (round(picture.width * SCALE), round(picture.height * SCALE))
    file = BytesIO()
    picture.resize(size, Image.Resampling.BOX).save(file, "WEBP", quality=QUALITY, method=4)
    return file.getvalue()


def difference(accepted: bytes, seen: bytes) -> Difference:
    """Of two pictures as they are kept."""
    before, now = _opened(accepted), _opened(seen)
    if before.width != now.width or abs(before.height - now.height) > LONGER:
        return Difference(1.0, f"{before.width} × {before.height} became {now.width} × {now.height}")
    share = float(_changed(before, now).mean())
    return Difference(share, f"{share:.2%} of it changed")


def marked(accepted: bytes, seen: bytes) -> Image.Image:
    """What is seen, with everything that changed in red, beside what was accepted."""
    before, now = _opened(accepted), _opened(seen)
    red = Image.new("RGB", now.size, (200, 0, 0))
    height = min(before.height, now.height)
    mask = Image.fromarray((_changed(before, now) * 160).astype(np.uint8))
    both = Image.new("RGB", (before.width + now.width, max(before.height, now.height)), (128, 128, 128))
    both.paste(before, (0, 0))
    both.paste(now, (before.width, 0))
    both.paste(red.crop((0, 0, mask.width, height)), (before.width, 0), mask)
    return both


def _opened(file: bytes | Path) -> Image.Image:
    return Image.open(BytesIO(file) if isinstance(file, bytes) else file).convert("RGB")


def _changed(before: Image.Image, now: Image.Image) -> NDArray[np.bool_]:
    """Where both differ, in the part that both have."""
    box = (0, 0, min(before.width, now.width), min(before.height, now.height))
    levels = np.asarray(ImageChops.difference(before.crop(box), now.crop(box)).convert("L"))
    changed: NDArray[np.bool_] = levels > DIFFERENT
    return changed
