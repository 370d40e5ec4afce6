"""Operators that arrange numbers, and those that reduce axes."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import torch
from torch import Tensor
from torch.nn import functional

from apps.agents.backends.torch.onnx_graph.operators import Call, Function, numbers, operator

Dimensions = list[int]


@operator("Constant", attributes="value value_float value_floats value_int value_ints")
def constant(call: Call) -> Tensor:
    ((name, value),) = call.attributes.items()
    if isinstance(value, Tensor):
        return value
    if name == "value":
        raise call.refused("it stores a number type that PyTorch does not have")
    return torch.tensor(value, dtype=torch.float32 if "float" in name else torch.int64)


@operator("ConstantOfShape", attributes="value", sizes=(0,))
def constant_of_shape(call: Call, shape: Tensor) -> Tensor:
    value = call.get("value", torch.zeros(1))
    return torch.full(numbers(shape), value.reshape(-1)[0].item(), dtype=value.dtype)


@operator("Shape", attributes="start end")
def shape(call: Call, x: Tensor) -> Tensor:
    return torch.tensor(list(x.shape)[call.get("start", 0) : call.get("end", None)], dtype=torch.int64)


@operator("Size")
def size(call: Call, x: Tensor) -> Tensor:
    return torch.tensor(x.numel())


@operator("Range", sizes=(0, 1, 2))
def arange(call: Call, start: Tensor, limit: Tensor, delta: Tensor) -> Tensor:
    return torch.arange(start.item(), limit.item(), delta.item(), dtype=start.dtype)


@operator("Reshape", attributes="allowzero", sizes=(1,))
def reshape(call: Call, x: Tensor, shape: Tensor) -> Tensor:
    wanted = numbers(shape)
    if not call.get("allowzero", 0):
        wanted = [x.shape[place] if axis == 0 else axis for place, axis in enumerate(wanted)]
    return x.reshape(wanted)


@operator("Flatten", attributes="axis")
def flatten(call: Call, x: Tensor) -> Tensor:
    axis = call.get("axis", 1)
    rows = prod(x.shape[: axis if axis >= 0 else axis + x.ndim])
    return x.reshape(rows, x.numel() // rows if rows else -1)


@operator("Transpose", attributes="perm")
def transpose(call: Call, x: Tensor) -> Tensor:
    return x.permute(call.get("perm", list(reversed(range(x.ndim)))))


@operator("Concat", attributes="axis")
def concat(call: Call, *parts: Tensor) -> Tensor:
    return torch.cat(parts, dim=call.get("axis", 0))


@operator("Split", attributes="axis split num_outputs", sizes=(1,))
def split(call: Call, x: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, ...]:
    axis, wanted = call.get("axis", 0), call.get("split", None) if sizes is None else numbers(sizes)
    if wanted is None:
        count = call.get("num_outputs", 0)
        if not count:
            raise call.refused("it does not say into how many parts it splits")
        each = -(-x.shape[axis] // count)
        wanted = [each] * (count - 1) + [x.shape[axis] - each * (count - 1)]
    parts: tuple[Tensor, ...] = torch.split(x, list(wanted), dim=axis)
    return parts


@operator("Slice", attributes="starts ends axes", sizes=(1, 2, 3, 4))
def slice_of(
    call: Call,
    x: Tensor,
    starts: Tensor | None = None,
    ends: Tensor | None = None,
    axes: Tensor | None = None,
    steps: Tensor | None = None,
) -> Tensor:
    begin = call.get("starts", ()) if starts is None else numbers(starts)
    end = call.get("ends", ()) if ends is None else numbers(ends)
    along = call.get("axes", range(len(begin))) if axes is None else numbers(axes)
    by = [1] * len(begin) if steps is None else numbers(steps)
    for first, last, axis, step in zip(begin, end, along, by, strict=True):
        chosen = range(*slice(first, last, step).indices(x.shape[axis]))
        if step == 1:
            x = x.narrow(axis, min(chosen.start, x.shape[axis]), len(chosen))
        else:
            x = x.index_select(axis, torch.tensor(list(chosen), dtype=torch.int64, device=x.device))
    return x


def _axes(call: Call, given: Tensor | None) -> Dimensions | None:
    """From the input that newer opsets have, or from the attribute."""
    found = call.get("axes", None) if given is None else numbers(given)
    return None if found is None else list(found)


@operator("Squeeze", attributes="axes", sizes=(1,))
def squeeze(call: Call, x: Tensor, axes: Tensor | None = None) -> Tensor:
    along = _axes(call, axes)
    return x.squeeze() if along is None else x.squeeze(tuple(along))


@operator("Unsqueeze", attributes="axes", sizes=(1,))
def unsqueeze(call: Call, x: Tensor, axes: Tensor | None = None) -> Tensor:
    along = _axes(call, axes) or []
    for axis in sorted(axis % (x.ndim + len(along)) for axis in along):
        x = x.unsqueeze(axis)
    return x


@operator("Gather", attributes="axis")
def gather(call: Call, x: Tensor, places: Tensor) -> Tensor:
    axis = call.get("axis", 0) % x.ndim
    flat = places.reshape(-1).long()
    found = x.index_select(axis, torch.where(flat < 0, flat + x.shape[axis], flat))
    return found.reshape(*x.shape[:axis], *places.shape, *x.shape[axis + 1 :])


@operator("Expand", sizes=(1,))
def expand(call: Call, x: Tensor, shape: Tensor) -> Tensor:
    return x.expand(torch.broadcast_shapes(x.shape, tuple(numbers(shape))))


@operator("Tile", sizes=(1,))
def tile(call: Call, x: Tensor, repeats: Tensor) -> Tensor:
    return x.repeat(numbers(repeats))


@operator("Trilu", attributes="upper", sizes=(1,))
def trilu(call: Call, x: Tensor, k: Tensor | None = None) -> Tensor:
    diagonal = 0 if k is None else int(k)
    return torch.triu(x, diagonal) if call.get("upper", 1) else torch.tril(x, diagonal)


@operator("DepthToSpace", attributes="blocksize mode")
def depth_to_space(call: Call, x: Tensor) -> Tensor:
    rows, channels, height, width = x.shape
    block = call.get("blocksize", 1)
    if call.get("mode", "DCR") == "CRD":
        return functional.pixel_shuffle(x, block)
    parts = x.reshape(rows, block, block, channels // block**2, height, width).permute(0, 3, 4, 1, 5, 2)
    return parts.reshape(rows, channels // block**2, height * block, width * block)


@operator("Pad", attributes="mode pads value", sizes=(1, 2, 3))
def pad(
    call: Call, x: Tensor, pads: Tensor | None = None, value: Tensor | None = None, axes: Tensor | None = None
) -> Tensor:
    given = call.get("pads", ()) if pads is None else numbers(pads)
    along = range(x.ndim) if axes is None else [axis % x.ndim for axis in numbers(axes)]
    before, after = given[: len(along)], given[len(along) :]
    by_axis = dict(zip(along, zip(before, after, strict=True), strict=True))
    mode = call.get("mode", "constant")
    if mode == "constant":
        flat = [width for axis in reversed(range(x.ndim)) for width in by_axis.get(axis, (0, 0))]
        return functional.pad(x, flat, value=call.get("value", 0.0) if value is None else value.item())
    if mode not in ("reflect", "edge") or any(sum(by_axis.get(axis, (0,))) for axis in (0, 1)):
        raise call.refused(f"it pads other axes than those of a picture, or with the mode {mode}")
    flat = [width for axis in reversed(range(2, x.ndim)) for width in by_axis.get(axis, (0, 0))]
    return functional.pad(x, flat, mode="replicate" if mode == "edge" else mode)


def _reduced(function: Callable[[Tensor, Dimensions, bool], Tensor]) -> Function:
    def run(call: Call, x: Tensor, axes: Tensor | None = None) -> Tensor:
        along = _axes(call, axes) or []
        if not along and call.get("noop_with_empty_axes", 0):
            return x
        return function(x, along or list(range(x.ndim)), bool(call.get("keepdims", 1)))

    return run


_REDUCTIONS: dict[str, Callable[[Tensor, Dimensions, bool], Tensor]] = {
    "ReduceL2": lambda x, axes, kept: torch.linalg.vector_norm(x, dim=axes, keepdim=kept),
    "ReduceMax": lambda x, axes, kept: torch.amax(x, dim=axes, keepdim=kept),
    "ReduceMean": lambda x, axes, kept: torch.mean(x, dim=axes, keepdim=kept),
    "ReduceMin": lambda x, axes, kept: torch.amin(x, dim=axes, keepdim=kept),
    "ReduceSum": lambda x, axes, kept: torch.sum(x, dim=axes, keepdim=kept),
    "ReduceSumSquare": lambda x, axes, kept: torch.sum(x.square(), dim=axes, keepdim=kept),
}
for _name, _function in _REDUCTIONS.items():
    operator(_name, attributes="axes keepdims noop_with_empty_axes", sizes=(1,))(_reduced(_function))
