"""Operators of exported programs that are a layer, and how PyTorch's own module for it is made of their arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

Given = Mapping[str, Any]
"""The operator's arguments by name, but for the data; tensors are the program's own."""


@dataclass(frozen=True)
class Layer:
    build: Callable[[Given, int | None], nn.Module | None]
    """Of the arguments and the number of the data's axes; `None` where no module computes the same."""
    data: str = "input"
    """The argument that is not the layer's own."""


def _convolution(given: Given, axes: int | None) -> nn.Module | None:
    """`conv1d`, `conv2d`, `conv3d`, and `convolution`, which stands for all of them."""
    weight = given["weight"]
    transposed = bool(given.get("transposed"))
    if transposed or axes != weight.ndim:  # Data without an axis of examples is none for a module either.
        return None
    kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[weight.ndim - 3]
    size, groups = tuple(weight.shape[2:]), int(given["groups"])
    layer = kind(
        weight.shape[1] * groups,
        weight.shape[0],
        size,
        stride=_each(given["stride"], size),
        padding=given["padding"] if isinstance(given["padding"], str) else _each(given["padding"], size),
        dilation=_each(given["dilation"], size),
        groups=groups,
        bias=given["bias"] is not None,
        device="meta",
    )
    return _with(layer, given, "weight", "bias")


def _transposed(given: Given, axes: int | None) -> nn.Module | None:
    weight = given["weight"]
    if axes != weight.ndim:
        return None
    kind = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[weight.ndim - 3]
    size, groups = tuple(weight.shape[2:]), int(given["groups"])
    layer = kind(
        weight.shape[0],
        weight.shape[1] * groups,
        size,
        stride=_each(given["stride"], size),
        padding=_each(given["padding"], size),
        output_padding=_each(given["output_padding"], size),
        groups=groups,
        bias=given["bias"] is not None,
        dilation=_each(given["dilation"], size),
        device="meta",
    )
    return _with(layer, given, "weight", "bias")


def _linear(given: Given, axes: int | None) -> nn.Module | None:
    weight = given["weight"]
    if weight.ndim != 2:
        return None
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=given["bias"] is not None, device="meta")
    return _with(layer, given, "weight", "bias")


def _batch_norm(given: Given, axes: int | None) -> nn.Module | None:
    """In evaluation mode only: one that was exported in training mode stays what it is."""
    if given.get("training") or given["running_mean"] is None or axes not in (2, 3, 4, 5):
        return None
    kind = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}[axes]
    layer = kind(
        len(given["running_mean"]),
        eps=given["eps"],
        momentum=given["momentum"],
        affine=given["weight"] is not None,
        device="meta",
    )
    layer.num_batches_tracked = torch.zeros((), dtype=torch.int64)
    return _with(layer, given, "weight", "bias", "running_mean", "running_var")


def _layer_norm(given: Given, axes: int | None) -> nn.Module | None:
    if (given["weight"] is None) != (given["bias"] is None):
        return None
    affine = given["weight"] is not None
    layer = nn.LayerNorm(list(given["normalized_shape"]), eps=given["eps"], elementwise_affine=affine, device="meta")
    return _with(layer, given, "weight", "bias")


def _embedding(given: Given, axes: int | None) -> nn.Module | None:
    weight = given["weight"]
    layer = nn.Embedding(weight.shape[0], weight.shape[1], device="meta")
    return _with(layer, given, "weight")


def _with(layer: nn.Module, given: Given, *names: str) -> nn.Module | None:
    """`layer` with these tensors as its own; `None` where a weight is not a parameter, and so is not to be changed."""
    for name in names:
        tensor = given[name]
        if name in layer._parameters:
            if tensor is not None and not isinstance(tensor, nn.Parameter):
                return None
            layer._parameters[name] = tensor
        elif tensor is not None:
            layer._buffers[name] = tensor
    return layer


def _each(value: Any, size: tuple[int, ...]) -> tuple[int, ...]:
    """One number an axis, of a list that may hold one for all."""
    numbers = [value] if isinstance(value, int) else list(value)
    return tuple(numbers * len(size)) if len(numbers) == 1 else tuple(numbers)


_ATEN = torch.ops.aten
LAYERS: Mapping[Any, Layer] = {
    **{
        overload: Layer(_convolution)
        for name in ("conv1d", "conv2d", "conv3d")
        for overload in (getattr(_ATEN, name).default, getattr(_ATEN, name).padding)
    },
    _ATEN.convolution.default: Layer(_convolution),
    _ATEN.conv_transpose1d.default: Layer(_transposed),
    _ATEN.conv_transpose2d.input: Layer(_transposed),
    _ATEN.conv_transpose3d.input: Layer(_transposed),
    _ATEN.linear.default: Layer(_linear),
    _ATEN.batch_norm.default: Layer(_batch_norm),
    _ATEN._native_batch_norm_legit_no_training.default: Layer(_batch_norm),
    _ATEN.layer_norm.default: Layer(_layer_norm),
    _ATEN.embedding.default: Layer(_embedding, data="indices"),
}
