"""Parts of a model that compute as if quantized to 8 bits, while all others stay in float.

This follows the 8-bit techniques for modules. Weights are on a signed symmetric grid with one scale per output channel
(per row of an embedding). Inputs of a linear layer are on a signed grid with one scale per token, inputs of a
convolution on an unsigned grid over the whole tensor. If a module cannot be hooked, only its weights are rounded.
Biases stay in float. See Jacob et al. 2018, https://arxiv.org/abs/1712.05877, and Dettmers et al. 2022,
https://arxiv.org/abs/2208.07339.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from apps.agents.backends.torch.anatomy import Anatomy, Part, own_weights

_INPUT_CHANNELS_FIRST = ("ConvTranspose", "Conv1D")
"""Prefixes of class names whose weight has its output channels on the second axis."""
_TABLES = ("Embedding", "EmbeddingBag")
_TOKEN_AXES = 2
"""Axes of the weight of a layer that multiplies rows."""


def quantizable(anatomy: Anatomy) -> dict[str, str]:
    """The type of each part whose weights 8 bits would change: floats with at least two axes."""
    return {part.name: part.op_type for part in anatomy.parts if any(True for _ in _wide_weights(part))}


@contextmanager
def quantized(anatomy: Anatomy, names: Collection[str], *, bits: int = 8, activations: bool = True) -> Iterator[None]:
    """Let the parts `names` compute with rounded weights and, if they can be hooked, rounded inputs.

    A weight that another part shares is rounded only for the named parts, except in a TorchScript program.
    """
    parts = [part for part in anatomy.parts if part.name in set(names)]
    undo = [(part, key, weight, _exchange(part, key, weight, bits)) for part in parts for key, weight in _wide(part)]
    hooks = [
        part.module.register_forward_pre_hook(_grid_for(part), with_kwargs=True)
        for part in parts
        if anatomy.hookable and activations and part.op_type not in _TABLES
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for part, key, weight, exact in undo:
            _restore(part, key, weight, exact)


def on_signed_grid(values: torch.Tensor, axis: int | None, bits: int = 8) -> torch.Tensor:
    """`values` rounded to a symmetric grid, one scale for each index along `axis`; one in total without it."""
    others = tuple(i for i in range(values.ndim) if axis is None or i != axis % values.ndim)
    steps = 2 ** (bits - 1) - 1
    largest = values.abs().amax(dim=others, keepdim=True) if others else values.abs()
    scale = torch.where(largest > 0, largest / steps, torch.ones_like(largest))
    return torch.clamp(torch.round(values / scale), -steps, steps) * scale


def on_token_grid(values: torch.Tensor) -> torch.Tensor:
    """`values` rounded to 8 bits, signed, with one scale for each row along the last axis."""
    largest = values.abs().amax(dim=-1, keepdim=True)
    scale = torch.where(largest > 0, largest / 127, torch.ones_like(largest))
    return torch.clamp(torch.round(values / scale), -127, 127) * scale


def on_affine_grid(values: torch.Tensor) -> torch.Tensor:
    """`values` rounded to 8 bits, unsigned, over their own range extended to include zero."""
    low, high = values.min().clamp(max=0.0), values.max().clamp(min=0.0)
    scale = torch.where(high > low, (high - low) / 255, torch.ones_like(high))
    zero = torch.round(-low / scale)
    return (torch.clamp(torch.round(values / scale) + zero, 0, 255) - zero) * scale


def _wide(part: Part) -> list[tuple[str, torch.nn.Parameter]]:
    return list(_wide_weights(part))


def _wide_weights(part: Part) -> Iterator[tuple[str, torch.nn.Parameter]]:
    """Weights without biases, scales and positions: those with such a name and at least two axes."""
    for key, weight in own_weights(part.module):
        if "weight" in key and weight.ndim >= _TOKEN_AXES and weight.is_floating_point() and weight.numel():
            yield key, weight


def _exchange(part: Part, key: str, weight: torch.nn.Parameter, bits: int) -> torch.Tensor | None:
    """Put the rounded weight in place. For a scripted module, return the previous numbers, which are overwritten."""
    axis = 1 if part.op_type.startswith(_INPUT_CHANNELS_FIRST) else 0
    rounded = on_signed_grid(weight.detach().float(), axis, bits).to(weight.dtype)
    if not isinstance(part.module, torch.jit.ScriptModule):
        part.module._parameters[key] = torch.nn.Parameter(rounded, requires_grad=False)
        return None
    exact = weight.detach().clone()
    weight.data.copy_(rounded)
    return exact


def _restore(part: Part, key: str, weight: torch.nn.Parameter, exact: torch.Tensor | None) -> None:
    if exact is None:
        part.module._parameters[key] = weight
    else:
        weight.data.copy_(exact)


def _grid_for(part: Part) -> Any:
    """A hook that rounds all float inputs of a part."""
    rows = all(weight.ndim == _TOKEN_AXES for _, weight in _wide(part))

    def rounded(value: Any) -> Any:
        if not isinstance(value, torch.Tensor) or not value.is_floating_point() or not value.numel():
            return value
        grid = on_token_grid if rows else on_affine_grid
        return grid(value.float()).to(value.dtype)

    def hook(module: torch.nn.Module, arguments: Any, named: Any) -> Any:
        return tuple(rounded(value) for value in arguments), {key: rounded(value) for key, value in named.items()}

    return hook
