"""Operators that compute each element by itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from apps.agents.backends.torch.onnx_graph.operators import TYPES, Call, Function, operator

_OF_ONE: dict[str, Callable[[Tensor], Tensor]] = {
    "Abs": torch.abs,
    "Ceil": torch.ceil,
    "Cos": torch.cos,
    "Erf": torch.erf,
    "Exp": torch.exp,
    "Floor": torch.floor,
    "Identity": lambda x: x,
    "Log": torch.log,
    "Mish": functional.mish,
    "Neg": torch.neg,
    "Not": torch.logical_not,
    "Reciprocal": torch.reciprocal,
    "Relu": torch.relu,
    "Sigmoid": torch.sigmoid,
    "Sign": torch.sign,
    "Sin": torch.sin,
    "Softplus": functional.softplus,
    "Softsign": functional.softsign,
    "Sqrt": torch.sqrt,
    "Tanh": torch.tanh,
    "HardSwish": functional.hardswish,
}
_OF_TWO: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Add": torch.add,
    "And": torch.logical_and,
    "Equal": torch.eq,
    "Greater": torch.gt,
    "GreaterOrEqual": torch.ge,
    "Less": torch.lt,
    "LessOrEqual": torch.le,
    "Mul": torch.mul,
    "Or": torch.logical_or,
    "Sub": torch.sub,
}
_OF_MANY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"Max": torch.maximum, "Min": torch.minimum, "Sum": torch.add}


def _one(function: Callable[[Tensor], Tensor]) -> Function:
    return lambda call, x: function(x)


def _two(function: Callable[[Tensor, Tensor], Tensor]) -> Function:
    return lambda call, x, y: function(x, y)


def _many(function: Callable[[Tensor, Tensor], Tensor]) -> Function:
    return lambda call, *all_of: reduce(function, all_of)


for _name, _function in _OF_ONE.items():
    operator(_name)(_one(_function))
for _name, _both in _OF_TWO.items():
    operator(_name)(_two(_both))
for _name, _both in _OF_MANY.items():
    operator(_name)(_many(_both))


@operator("Div")
def divide(call: Call, x: Tensor, y: Tensor) -> Tensor:
    return x / y if x.is_floating_point() else torch.div(x, y, rounding_mode="trunc")


@operator("Pow")
def power(call: Call, x: Tensor, y: Tensor) -> Tensor:
    return torch.pow(x, y).to(x.dtype)


@operator("Where")
def where(call: Call, condition: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return torch.where(condition, x, y)


@operator("Clip", attributes="min max", sizes=(1, 2))
def clip(call: Call, x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    least = call.get("min", None) if low is None else low.item()
    most = call.get("max", None) if high is None else high.item()
    return x if least is None and most is None else torch.clamp(x, least, most)


@operator("Cast", attributes="to saturate round_mode")
def cast(call: Call, x: Tensor) -> Tensor:
    wanted = TYPES.get(call.get("to", 0))
    if wanted is None:
        raise call.refused("it makes a number type that PyTorch does not have")
    return x.to(wanted)


@operator("Dropout", attributes="ratio seed")
def dropout(call: Call, x: Tensor, ratio: Tensor | None = None, training: Tensor | None = None) -> tuple[Tensor, ...]:
    """Does nothing, as in the exported model, and keeps everything."""
    if training is not None and bool(training):
        raise call.refused("it drops numbers also when the model runs")
    return x, torch.ones_like(x, dtype=torch.bool)


@operator("Gelu", attributes="approximate")
def gelu(call: Call, x: Tensor) -> Tensor:
    return functional.gelu(x, approximate=call.get("approximate", "none"))


@operator("LeakyRelu", attributes="alpha")
def leaky_relu(call: Call, x: Tensor) -> Tensor:
    return functional.leaky_relu(x, call.get("alpha", 0.01))


@operator("Elu", attributes="alpha")
def elu(call: Call, x: Tensor) -> Tensor:
    return functional.elu(x, call.get("alpha", 1.0))


@operator("PRelu")
def prelu(call: Call, x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x < 0, x * slope, x)


@operator("HardSigmoid", attributes="alpha beta")
def hard_sigmoid(call: Call, x: Tensor) -> Tensor:
    return torch.clamp(call.get("alpha", 0.2) * x + call.get("beta", 0.5), 0.0, 1.0)


def _softmax(function: Callable[..., Tensor]) -> Function:
    """Until opset 12, all axes from `axis` on are one."""

    def run(call: Call, x: Tensor) -> Tensor:
        axis: Any = call.get("axis", -1 if call.opset >= 13 else 1)
        if call.opset >= 13:
            return function(x, dim=axis)
        return function(x.flatten(axis % x.ndim), dim=-1).reshape(x.shape)

    return run


operator("Softmax", attributes="axis")(_softmax(torch.softmax))
operator("LogSoftmax", attributes="axis")(_softmax(torch.log_softmax))
