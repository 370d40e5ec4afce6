"""Pictures made larger or smaller, in the ways that ONNX and PyTorch have in common."""

from __future__ import annotations

from typing import TypeVar

from torch import Tensor
from torch.nn import functional

from apps.agents.backends.torch.onnx_graph.operators import Call, numbers, operator

Number = TypeVar("Number", int, float)
_SAMPLERS = {1: "linear", 2: "bilinear", 3: "trilinear"}
_ATTRIBUTES = (
    "antialias axes coordinate_transformation_mode cubic_coeff_a exclude_outside extrapolation_value "
    "keep_aspect_ratio_policy mode nearest_mode"
)
_CUBIC = -0.75
"""PyTorch's coefficient of cubic convolution, which is ONNX's default."""


@operator("Resize", attributes=_ATTRIBUTES, sizes=(1, 2, 3))
def resize(
    call: Call, x: Tensor, region: Tensor | None = None, scales: Tensor | None = None, sizes: Tensor | None = None
) -> Tensor:
    """Of the spatial axes, all or none. `region` counts only where pictures are cropped, which is refused."""
    mode, corners = _mode(call, x)
    lengths = None if sizes is None else _of_spatial_axes(call, numbers(sizes), list(x.shape), x)
    factors = None
    if lengths is None:
        assert scales is not None, "one of both is there"
        factors = _of_spatial_axes(call, [float(one) for one in scales.tolist()], [1.0] * x.ndim, x)
    made: Tensor = functional.interpolate(x, lengths, factors, mode, corners, recompute_scale_factor=False)
    return made


def _mode(call: Call, x: Tensor) -> tuple[str, bool | None]:
    """PyTorch's name of the way, and whether corners stay where they are; `None` where that has no meaning."""
    mode, position = call.get("mode", "nearest"), call.get("coordinate_transformation_mode", "half_pixel")
    if call.get("antialias", 0) or call.get("exclude_outside", 0):
        raise call.refused("it weighs pixels in a way that PyTorch does not")
    if call.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise call.refused("it keeps the aspect ratio")
    if mode == "nearest":
        if (position, call.get("nearest_mode", "round_prefer_floor")) != ("asymmetric", "floor"):
            raise call.refused(f"its nearest pixel is found by {position}")
        return "nearest", None
    if position not in ("half_pixel", "align_corners"):
        raise call.refused(f"its pixels are placed by {position}")
    axes = x.ndim - 2
    if mode == "linear" and axes in _SAMPLERS:
        return _SAMPLERS[axes], position == "align_corners"
    if mode == "cubic" and axes == 2 and call.get("cubic_coeff_a", _CUBIC) == _CUBIC:
        return "bicubic", position == "align_corners"
    raise call.refused(f"it samples with the mode {mode} on {axes} spatial axes")


def _of_spatial_axes(call: Call, given: list[Number], unchanged: list[Number], x: Tensor) -> list[Number]:
    """What is `given` for each spatial axis. Refuses to change examples or channels in number."""
    whole = list(unchanged)
    for axis, value in zip(call.get("axes", range(x.ndim)), given, strict=True):
        whole[axis] = value
    if whole[:2] != unchanged[:2]:
        raise call.refused("it changes the number of examples or channels")
    return whole[2:]
