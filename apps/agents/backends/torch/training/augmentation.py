"""Images shifted by a few pixels and mirrored, so that a short training sees more than the data set contains."""

from __future__ import annotations

import torch
from torch.nn import functional

PICTURE_CHANNELS = (1, 3)
SMALLEST_SIDE = 16


def is_picture(tensor: torch.Tensor) -> bool:
    """Whether it is a batch of images [N, channels, height, width], grey or in colour."""
    return (
        tensor.is_floating_point()
        and tensor.ndim == 4
        and tensor.shape[1] in PICTURE_CHANNELS
        and min(tensor.shape[2:]) >= SMALLEST_SIDE
    )


def augmented(tensors: dict[str, torch.Tensor], shift: int, *, mirror: bool) -> dict[str, torch.Tensor]:
    """The same batch with its images changed at random by PyTorch's generator; other tensors stay the same."""
    return {name: _changed(tensor, shift, mirror) if is_picture(tensor) else tensor for name, tensor in tensors.items()}


def _changed(pictures: torch.Tensor, shift: int, mirror: bool) -> torch.Tensor:
    if mirror:
        chosen = torch.rand(len(pictures), 1, 1, 1).to(pictures.device) < 0.5
        pictures = torch.where(chosen, pictures.flip(3), pictures)
    if shift:
        top, left = torch.randint(0, 2 * shift + 1, (2,)).tolist()
        height, width = pictures.shape[2:]
        # The border is repeated: in normalized images, zero is a colour like any other.
        padded = functional.pad(pictures, (shift, shift, shift, shift), mode="replicate")
        pictures = padded[:, :, top : top + height, left : left + width]
    return pictures
