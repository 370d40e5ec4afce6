"""The contents and cost of each part of a model: parameters, bytes of weights, multiply-accumulates.

Operators and their shapes come from a real run, so any code is supported. A multiply-accumulate (MAC) is one product
added to a sum. As in the papers, bias, activation functions and normalization are not counted. Products of two
activations, as in attention, count for the module that computes them. If none of a part's operators has a rule, its
MACs are unknown, not 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from apps.agents.backends.torch.anatomy import Anatomy, Part
from apps.agents.backends.torch.module_hooks import hooked, operators_seen, weights_at
from apps.agents.contracts.reports.analysis import Layer
from apps.agents.measuring.engine import Feeds


def layers(anatomy: Anatomy, batches: Sequence[Feeds], examples: int | None = None) -> tuple[Layer, ...]:
    """A layer for each part, and for each module that multiplies activations. MACs are per example.

    MACs are counted on the first of `batches`, which has `examples` examples. Raises the model's errors.
    """
    macs: Mapping[str, int] = {}
    if batches:
        examples = examples or max((len(array) for array in batches[0].values() if array.ndim), default=1)
        macs = {name: round(count / examples) for name, count in _counted(anatomy, batches[0]).items()}
    parts = {part.name for part in anatomy.parts}
    shown = [module for module in anatomy.modules if module.name in parts or module.name in macs]
    counted: set[int] = set()
    return tuple(_layer(part, macs.get(part.name), counted) for part in shown)


def _counted(anatomy: Anatomy, feeds: Feeds) -> dict[str, int]:
    """Multiply-accumulates of one run by module: the innermost running one, or the owner of the weight."""
    working: list[str] = []
    owners = {} if anatomy.hookable else weights_at(anatomy.parts)
    found: dict[str, int] = {}

    def seen(operator: str, arguments: Sequence[Any], result: Any) -> None:
        rule = _RULES.get(operator)
        name = working[-1] if working else _owner(owners, arguments)
        if rule is not None and name is not None:
            found[name] = found.get(name, 0) + rule(arguments, result)

    modules = [(module.name, module.module) for module in anatomy.modules] if anatomy.hookable else []
    with hooked(modules, working.append, lambda _: working.pop()), operators_seen(seen):
        anatomy.model.call(anatomy.model.tensors(feeds))
    return found


def _owner(owners: Mapping[int, str], arguments: Sequence[Any]) -> str | None:
    addresses = (value.untyped_storage().data_ptr() for value in arguments if isinstance(value, torch.Tensor))
    return next((owners[address] for address in addresses if address in owners), None)


def _layer(part: Part, macs: int | None, counted: set[int]) -> Layer:
    """A weight that several parts share counts for the first, so that the sums are the model's."""
    own = [weight for weight in part.module.parameters(recurse=False) if _identity(weight) not in counted]
    counted.update(map(_identity, own))
    return Layer(
        name=part.name,
        op_type=part.op_type,
        parameters=sum(_numbers(part.module, weight) for weight in own),
        weight_bytes=sum(map(_stored_bytes, own)),
        macs=macs,
        depthwise=_is_depthwise(part.module),
    )


def _identity(weight: torch.Tensor) -> int:
    """Equal for the same weight: its address, if it has one."""
    return id(weight) if hasattr(weight, "__tensor_flatten__") else weight.data_ptr() or id(weight)


def _numbers(module: torch.nn.Module, weight: torch.Tensor) -> int:
    """How many numbers a weight has; for packed weights, as many as the layer multiplies with."""
    if weight.dtype is torch.uint8 and hasattr(module, "in_features"):
        return int(module.in_features * module.out_features)
    return int(weight.numel())


def _stored_bytes(weight: torch.Tensor) -> int:
    """Bytes in memory; for a tensor made of others, such as a quantized one, the sum of its parts."""
    if not hasattr(weight, "__tensor_flatten__"):
        return int(weight.numel() * weight.element_size())
    names, _ = weight.__tensor_flatten__()
    return sum(_stored_bytes(getattr(weight, name)) for name in names)


def _is_depthwise(module: torch.nn.Module) -> bool:
    """Whether it is a grouped convolution with a single input channel in each group."""
    return bool(getattr(module, "groups", 1) > 1 and getattr(module, "in_channels", 0) == getattr(module, "groups", 1))


# --- rules -----------------------------------------------------------------------------------------------------------


def elements(shape: Sequence[int]) -> int:
    return math.prod(map(int, shape))


def _product(first: int, second: int) -> Callable[[Sequence[Any], Any], int]:
    """Product of two matrices, or stacks of them, at these positions of the arguments."""
    return lambda arguments, _: elements(arguments[first].shape) * int(arguments[second].shape[-1])


def _linear(arguments: Sequence[Any], result: Any) -> int:
    return elements(arguments[0].shape) * int(arguments[1].shape[0])


def _convolution(arguments: Sequence[Any], result: Any) -> int:
    """Weight (M, C/group, k…): every output sums over a filter; if transposed, every input is spread over one."""
    weight = elements(arguments[1].shape[1:])
    transposed = bool(arguments[6]) if len(arguments) > 6 else False
    return elements(arguments[0].shape if transposed else result.shape) * weight


def _attention(arguments: Sequence[Any], result: Any) -> int:
    """Queries (…, L, E), keys (…, S, E), values (…, S, V): the scores and the weighted sum, masked or not."""
    query, key, value = arguments[:3]
    return elements(query.shape) * int(key.shape[-2]) + elements(query.shape[:-1]) * elements(value.shape[-2:])


def _recurrent(arguments: Sequence[Any], result: Any) -> int:
    """Each step multiplies with both matrices of its layer and direction: input (steps, batch, features)."""
    steps, batch = arguments[0].shape[:2]
    return int(steps * batch) * (elements(arguments[1].shape) + elements(arguments[2].shape))


_RULES: dict[str, Callable[[Sequence[Any], Any], int]] = {
    "mm": _product(0, 1),
    "bmm": _product(0, 1),
    "addmm": _product(1, 2),
    "baddbmm": _product(1, 2),
    "linear": _linear,
    "convolution": _convolution,
    "_convolution": _convolution,
    "mkldnn_rnn_layer": _recurrent,
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
    "_scaled_dot_product_flash_attention": _attention,
    "_scaled_dot_product_efficient_attention": _attention,
    "_scaled_dot_product_cudnn_attention": _attention,
}
