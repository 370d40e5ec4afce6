"""What is known of techniques for PyTorch models before anything is measured: data with its source, like `rules`.

Losses of language models are in nats per token (what the mean negative log-likelihood rises by), measured on a Llama of
five million parameters with every linear layer changed and the token table left alone. Factors on CUDA are estimates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apps.agents.techniques.knowledge.kernels import KernelRule, Kind

HALF, WEIGHT_ONLY, BITSANDBYTES, AUTOAWQ, AWQ, GPTQ, NEAREST, SMOOTH = (
    "torch-half",
    "torch-weight-only",
    "torch-bitsandbytes",
    "torch-autoawq",
    "torch-awq",
    "torch-gptq",
    "torch-round-to-nearest",
    "torch-smoothquant",
)
TORCH_QUANTIZATIONS = frozenset({HALF, WEIGHT_ONLY, BITSANDBYTES, AUTOAWQ, AWQ, GPTQ, NEAREST, SMOOTH})
CLEVER = frozenset({AWQ, GPTQ, AUTOAWQ})
"""Those that use calibration data to lose less than rounding to the nearest does at the same bits."""

_UNPACKED = "packed weights become floats again when they are loaded for a CPU; estimated on CUDA"
_BITSANDBYTES = "bitsandbytes unpacks each layer as it runs; estimated"
_ESTIMATED = "estimated"

TORCH_KERNELS: tuple[KernelRule, ...] = (
    *(KernelRule(name, Kind.PRODUCT, (1.0, 1.0, 1.0, 1.0), basis=_UNPACKED) for name in (AWQ, GPTQ, NEAREST, SMOOTH)),
    KernelRule(AUTOAWQ, Kind.PRODUCT, (1.0, 1.0, 1.0, 1.5), basis=_UNPACKED),
    KernelRule(BITSANDBYTES, Kind.PRODUCT, (0.5, 0.5, 0.5, 0.6), None, "int8", _BITSANDBYTES),
    KernelRule(BITSANDBYTES, Kind.PRODUCT, (0.5, 0.5, 0.5, 0.8), basis=_BITSANDBYTES),
    KernelRule(WEIGHT_ONLY, Kind.PRODUCT, (0.9, 0.9, 0.9, 1.1), basis=_ESTIMATED),
    *(KernelRule(HALF, kind, (0.4, 0.4, 0.6, 1.8), None, "float16", _ESTIMATED) for kind in Kind),
    *(KernelRule(HALF, kind, (0.85, 0.7, 0.9, 1.8), basis=_ESTIMATED) for kind in Kind),
)

TYPICAL_PERPLEXITY = 40.0
"""What a loss in nats is told at before the original's own perplexity is known."""

NATS_PER_NOISE = 0.08
"""Loss of a language model by the noise-to-signal ratio of its output: 0.0025 nats where 4-bit weights leave 15 dB."""


@dataclass(frozen=True)
class Loss:
    """What a technique costs with every linear layer changed."""

    nats: float
    noise: float
    """Against that of 8-bit weights and activations with fixed ranges, which the sensitivity analysis measures."""


_EIGHT = Loss(0.0001, 0.006)
_NEAREST_BY_GROUP: Mapping[int, float] = {16: 0.0012, 32: 0.0014, 64: 0.0018, 128: 0.0025}
_FOUR_NOISE = 0.3
_OF_NEAREST: Mapping[str, float] = {NEAREST: 1.0, AWQ: 0.92, AUTOAWQ: 0.84, GPTQ: 0.28}
"""Loss at 4 bits against that of rounding to the nearest in groups as large."""
_BY_TYPE: Mapping[str, Loss] = {
    "int8": Loss(0.0001, 0.1),
    "nf4": Loss(0.0018, _FOUR_NOISE),
    "fp4": Loss(0.0035, 2 * _FOUR_NOISE),
}
"""Of bitsandbytes; the 4-bit types are estimates."""


def loss_of(technique: str, parameters: Mapping[str, Any]) -> Loss:
    """The loss that is known of a technique with its parameters."""
    if technique == HALF:
        return Loss(0.00002, 1e-4)
    if technique == SMOOTH:
        return Loss(0.0002, 0.1)
    if technique == BITSANDBYTES:
        return _BY_TYPE[str(parameters.get("type", "nf4"))]
    if technique == WEIGHT_ONLY or int(parameters.get("bits", 4)) == 8:
        return _EIGHT
    share = _OF_NEAREST.get(technique, 1.0)
    return Loss(share * _NEAREST_BY_GROUP[int(parameters.get("group_size", 32))], share * _FOUR_NOISE)


def perplexity_lost(nats: float) -> float:
    """What a loss in nats is in perplexity, at `TYPICAL_PERPLEXITY`."""
    return TYPICAL_PERPLEXITY * math.expm1(nats)


def stored_bits(technique: str, parameters: Mapping[str, Any], float_bits: float) -> float:
    """Bits that a weight takes on disk, its share of scales and zero points included.

    `float_bits` is what a float of the model takes, in which scales of most formats are kept.
    """
    if technique == HALF:
        return 16.0
    if technique in (SMOOTH, WEIGHT_ONLY):
        return 8.2
    if technique == BITSANDBYTES:
        return _bitsandbytes_bits(parameters)
    bits, group = int(parameters.get("bits", 4)), int(parameters.get("group_size", 32))
    if technique == AUTOAWQ:
        return 4 + (16 + 4) / group
    zero_points = 0 if parameters.get("symmetric", False) else bits / group
    return bits + float_bits / group + zero_points


def _bitsandbytes_bits(parameters: Mapping[str, Any]) -> float:
    """A scale for each block of 64 weights, in 32 bits or, quantized in turn, in 8."""
    if parameters.get("type", "nf4") == "int8":
        return 8.2
    return 4.13 if parameters.get("double_quantization", True) else 4.5
