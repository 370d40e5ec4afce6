"""How image files become tensors."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from apps.agents.contracts.values import Value


class ImagePreprocessing(Value):
    """From an image file to a tensor: decode, rotate as EXIF says, resize, crop the centre, scale, normalize, lay out.

    The arithmetic is `(pixel * scale - mean) / std` per channel, with pixels from 0 to 255. ImageNet's usual numbers
    are `scale = 1/255`, `mean = (0.485, 0.456, 0.406)`, `std = (0.229, 0.224, 0.225)`, `resize = 256`, 224 × 224.
    """

    width: int = Field(224, ge=1, le=8192)
    height: int = Field(224, ge=1, le=8192)
    resize: int | None = Field(None, ge=1, le=8192)
    """Length of the shorter side before the centre crop. Without it, the image is stretched to width × height."""
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bilinear"
    color: Literal["RGB", "BGR", "L"] = "RGB"
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    scale: float = Field(1 / 255, gt=0)
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    dtype: Literal["float32", "uint8"] = "float32"
    """`uint8` passes raw pixels to the model, for models that scale them themselves."""

    @property
    def channels(self) -> int:
        return 1 if self.color == "L" else 3

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one example, without the batch axis."""
        if self.layout == "NCHW":
            return (self.channels, self.height, self.width)
        return (self.height, self.width, self.channels)

    @model_validator(mode="after")
    def _numbers_fit(self) -> Self:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, self.channels):
                raise ValueError(f"{name} has {len(values)} values; {self.color} needs 1 or {self.channels}")
        if any(value == 0 for value in self.std):
            raise ValueError("std must not be 0")
        if self.resize is not None and self.resize < min(self.width, self.height):
            raise ValueError(
                f"resize is {self.resize}, shorter than the crop of {self.width} × {self.height}: "
                "make it at least as long as the crop's shorter side"
            )
        if self.dtype == "uint8" and (self.mean != (0.0,) or self.std != (1.0,)):
            raise ValueError("uint8 passes raw pixels to the model: leave mean at 0 and std at 1")
        return self
