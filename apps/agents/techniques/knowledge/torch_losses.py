"""Losses and stored bits of quantizations of PyTorch models, before anything is measured: data with its source.

Losses of language models are in nats per token (the rise of the mean negative log-likelihood), measured on a Llama of
five million parameters with every linear layer changed and the token table unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Loss:
    """The loss of a technique with every linear layer changed."""

    nats: float
    noise: float
    """Noise relative to 8-bit weights and activations with fixed ranges, which the sensitivity analysis measures."""


HALF = Loss(0.00002, 1e-4)
EIGHT_BITS = Loss(0.0001, 0.006)
SMOOTHED = Loss(0.0002, 0.1)
_FOUR_NOISE = 0.3
BITSANDBYTES: Mapping[str, Loss] = {
    "int8": Loss(0.0001, 0.1),
    "nf4": Loss(0.0018, _FOUR_NOISE),
    "fp4": Loss(0.0035, 2 * _FOUR_NOISE),
}
"""By number type. Those of the 4-bit types are estimates."""
_NEAREST_BY_GROUP: Mapping[int, float] = {16: 0.0012, 32: 0.0014, 64: 0.0018, 128: 0.0025}


def of_groups(bits: int, group_size: int, share: float) -> Loss:
    """The loss of weights in groups with one scale each. `share` is the loss at 4 bits, relative to plain rounding."""
    return EIGHT_BITS if bits == 8 else Loss(share * _NEAREST_BY_GROUP[group_size], share * _FOUR_NOISE)


def bits_in_groups(bits: int, group_size: int, symmetric: bool, float_bits: float) -> float:
    """The bits of a weight on disk, including its share of scales and zero points.

    `float_bits` are the bits of a float of the model, the type of the scales.
    """
    zero_points = 0 if symmetric else bits / group_size
    return bits + float_bits / group_size + zero_points


def bits_of_bitsandbytes(number_type: str, double_quantization: bool) -> float:
    """The bits of a weight on disk, with one scale per block of 64 weights, in 32 bits or quantized to 8."""
    if number_type == "int8":
        return 8.2
    return 4.13 if double_quantization else 4.5
