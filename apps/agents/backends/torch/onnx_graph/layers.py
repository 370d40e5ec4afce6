"""Operators with weights, pooling, and norms."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from apps.agents.backends.torch.onnx_graph.operators import Call, operator

Widths = list[tuple[int, int]]
"""Of padding before and after each spatial axis."""
_CONVOLUTIONS = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
_TRANSPOSED = {1: functional.conv_transpose1d, 2: functional.conv_transpose2d, 3: functional.conv_transpose3d}
_LARGEST = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}
_MEAN = {1: functional.avg_pool1d, 2: functional.avg_pool2d, 3: functional.avg_pool3d}


@operator("MatMul")
def product(call: Call, x: Tensor, y: Tensor) -> Tensor:
    return torch.matmul(x, y)


@operator("Gemm", attributes="alpha beta transA transB")
def gemm(call: Call, x: Tensor, y: Tensor, bias: Tensor | None = None) -> Tensor:
    x, y = (x.T if call.get("transA", 0) else x), (y.T if call.get("transB", 0) else y)
    made, alpha, beta = torch.matmul(x, y), call.get("alpha", 1.0), call.get("beta", 1.0)
    made = made if alpha == 1 else alpha * made
    return made if bias is None else made + (bias if beta == 1 else beta * bias)


@operator("Einsum", attributes="equation")
def einsum(call: Call, *factors: Tensor) -> Tensor:
    return torch.einsum(call.get("equation", ""), *factors)


def _spatial(call: Call, known: dict[int, object], x: Tensor) -> int:
    axes: int = x.ndim - 2
    if axes not in known:
        raise call.refused(f"its input has {axes} spatial axes")
    return axes


def _padding(call: Call, x: Tensor, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]) -> Widths:
    """As the node states it, or as `auto_pad` computes it."""
    mode, axes = call.get("auto_pad", "NOTSET"), len(kernel)
    if mode == "NOTSET":
        pads = call.get("pads", [0] * 2 * axes)
        return list(zip(pads[:axes], pads[axes:], strict=True))
    if mode == "VALID":
        return [(0, 0)] * axes
    widths = []
    for size, width, stride, dilation in zip(x.shape[2:], kernel, strides, dilations, strict=True):
        whole = max(0, (-(-size // stride) - 1) * stride + dilation * (width - 1) + 1 - size)
        small, large = whole // 2, whole - whole // 2
        widths.append((large, small) if mode == "SAME_LOWER" else (small, large))
    return widths


def _padded(x: Tensor, widths: Widths, value: float = 0.0) -> Tensor:
    flat = [width for pair in reversed(widths) for width in pair]
    return functional.pad(x, flat, value=value) if any(flat) else x


@operator("Conv", attributes="auto_pad dilations group kernel_shape pads strides")
def convolution(call: Call, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    axes = _spatial(call, dict(_CONVOLUTIONS), x)
    strides, dilations = call.get("strides", [1] * axes), call.get("dilations", [1] * axes)
    widths = _padding(call, x, weight.shape[2:], strides, dilations)
    even = all(before == after for before, after in widths)
    pads = [before for before, _ in widths] if even else [0] * axes
    x = x if even else _padded(x, widths)
    made: Tensor = _CONVOLUTIONS[axes](x, weight, bias, strides, pads, dilations, call.get("group", 1))
    return made


@operator("ConvTranspose", attributes="auto_pad dilations group kernel_shape output_padding pads strides")
def transposed_convolution(call: Call, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    axes = _spatial(call, dict(_TRANSPOSED), x)
    if call.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise call.refused("it computes its padding from the size of its output")
    strides, dilations = call.get("strides", [1] * axes), call.get("dilations", [1] * axes)
    pads = call.get("pads", [0] * 2 * axes)
    before, after = pads[:axes], pads[axes:]
    if before != after:
        raise call.refused("its padding differs before and after an axis")
    more, group = call.get("output_padding", [0] * axes), call.get("group", 1)
    made: Tensor = _TRANSPOSED[axes](x, weight, bias, strides, before, more, group, dilations)
    return made


# --- pooling --------------------------------------------------------------------------------------------------------


def _windows(call: Call, x: Tensor) -> tuple[list[int], list[int], list[int], Widths, Widths]:
    """Kernel, strides, dilations, padding, and what `ceil_mode` adds behind it for a last window that is not full."""
    kernel = list(call.get("kernel_shape", ()))
    strides, dilations = call.get("strides", [1] * len(kernel)), call.get("dilations", [1] * len(kernel))
    widths, added = _padding(call, x, kernel, strides, dilations), []
    for size, width, stride, dilation, pads in zip(x.shape[2:], kernel, strides, dilations, widths, strict=True):
        room = size + sum(pads) - dilation * (width - 1) - 1
        over = -room % stride if call.get("ceil_mode", 0) else 0
        begins = (room + over) // stride * stride
        added.append((0, over if begins < size + pads[0] else 0))
    return kernel, strides, dilations, widths, added


@operator("MaxPool", attributes="auto_pad ceil_mode dilations kernel_shape pads storage_order strides")
def max_pool(call: Call, x: Tensor) -> Tensor:
    axes = _spatial(call, dict(_LARGEST), x)
    kernel, strides, dilations, widths, added = _windows(call, x)
    padded = _padded(_padded(x, widths, -torch.inf), added, -torch.inf)
    made: Tensor = _LARGEST[axes](padded, kernel, strides, 0, dilations)
    return made


@operator("AveragePool", attributes="auto_pad ceil_mode count_include_pad dilations kernel_shape pads strides")
def average_pool(call: Call, x: Tensor) -> Tensor:
    """Padding counts as zeros if the node says so; what `ceil_mode` adds never counts."""
    axes = _spatial(call, dict(_MEAN), x)
    kernel, strides, dilations, widths, added = _windows(call, x)
    if any(one != 1 for one in dilations):
        raise call.refused("its windows are dilated")
    made: Tensor = _MEAN[axes](_padded(_padded(x, widths), added), kernel, strides)
    counted = call.get("count_include_pad", 0)
    if not any(sum(pair) for pair in added) and (counted or not any(sum(pair) for pair in widths)):
        return made
    ones = torch.ones((1, 1, *x.shape[2:]), dtype=made.dtype, device=x.device)
    share = _MEAN[axes](_padded(_padded(ones, widths, float(counted)), added), kernel, strides)
    return made / share


@operator("GlobalAveragePool")
def global_average_pool(call: Call, x: Tensor) -> Tensor:
    return x.mean(dim=tuple(range(2, x.ndim)), keepdim=True)


@operator("GlobalMaxPool")
def global_max_pool(call: Call, x: Tensor) -> Tensor:
    return x.amax(dim=tuple(range(2, x.ndim)), keepdim=True)


# --- norms ----------------------------------------------------------------------------------------------------------


@operator("BatchNormalization", attributes="epsilon momentum training_mode")
def batch_normalization(
    call: Call, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, learning: bool = False
) -> Tensor:
    """With the statistics `mean` and `variance`, or with those of the batch while they learn from it."""
    if call.get("training_mode", 0):
        raise call.refused("it uses the statistics of the batch also when the model runs")
    momentum, epsilon = 1 - call.get("momentum", 0.9), call.get("epsilon", 1e-5)
    return functional.batch_norm(x, mean, variance, scale, bias, learning, momentum, epsilon)


@operator("LayerNormalization", attributes="axis epsilon stash_type")
def layer_normalization(call: Call, x: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
    shape = x.shape[call.get("axis", -1) :]
    bias = None if bias is None else bias.expand(shape)
    return functional.layer_norm(x, shape, scale.expand(shape), bias, call.get("epsilon", 1e-5))


@operator("RMSNormalization", attributes="axis epsilon stash_type")
def rms_normalization(call: Call, x: Tensor, scale: Tensor) -> Tensor:
    axes = tuple(range(call.get("axis", -1) % x.ndim, x.ndim))
    return x * torch.rsqrt(x.square().mean(axes, keepdim=True) + call.get("epsilon", 1e-5)) * scale


@operator("InstanceNormalization", attributes="epsilon")
def instance_normalization(call: Call, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    return functional.instance_norm(x, weight=scale, bias=bias, eps=call.get("epsilon", 1e-5))


@operator("GroupNormalization", attributes="epsilon num_groups stash_type")
def group_normalization(call: Call, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Before opset 21, scale and bias had one number per group."""
    groups = call.get("num_groups", 1)
    each = x.shape[1] // scale.numel()
    return functional.group_norm(
        x, groups, scale.repeat_interleave(each), bias.repeat_interleave(each), call.get("epsilon", 1e-5)
    )
