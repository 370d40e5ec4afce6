"""The quantization that a transformers folder declares, and how to count its packed weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from apps.agents.backends.torch.stored import StoredTensor, Weights

Config = Mapping[str, Any]

_BESIDE_THE_WEIGHTS = re.compile(
    r"\.(weight\.(absmax|quant_map|nested_\w+|quant_state\..+)|SCB|weight_format|scales|qzeros|g_idx|"
    r"_?(weight|input|output)_(scale|zero_point|shape|g_idx|global_scale))$"
)
"""Scales, zero points and tables, which decode the packed weights but are not weights."""
_PACKED = re.compile(r"\.(qweight|weight_packed)$")
_PACKED_IN_BITS = 32


def method_of(config: Config) -> str | None:
    """`bitsandbytes`, `awq`, `gptq`, `compressed-tensors`, `torchao` …; `None` for a model in plain numbers."""
    quantization = config.get("quantization_config") or config.get("compression_config")
    if not quantization:
        return None
    if "quant_method" not in quantization and (quantization.get("load_in_4bit") or quantization.get("load_in_8bit")):
        return "bitsandbytes"
    return str(quantization.get("quant_method", "unknown"))


def describe(config: Config) -> str | None:
    """The quantization in words, such as `awq 4 bit, groups of 32`; `None` for a model in plain numbers."""
    method = method_of(config)
    quantization = config.get("quantization_config") or config.get("compression_config") or {}
    match method:
        case None:
            return None
        case "bitsandbytes" if quantization.get("load_in_8bit"):
            return "bitsandbytes LLM.int8"
        case "bitsandbytes":
            double = ", double quantization" if quantization.get("bnb_4bit_use_double_quant") else ""
            return f"bitsandbytes {quantization.get('bnb_4bit_quant_type', 'fp4')}{double}"
        case "compressed-tensors":
            return f"compressed-tensors {_groups(_first_weights(quantization), 'num_bits')}"
        case "torchao":
            return f"torchao {_torchao(quantization)}".rstrip()
        case _:
            return f"{method} {_groups(quantization, 'bits')}"


def bits_of(config: Config) -> int | None:
    """Bits of a packed weight."""
    quantization = config.get("quantization_config") or config.get("compression_config") or {}
    match method_of(config):
        case "bitsandbytes":
            return 8 if quantization.get("load_in_8bit") else 4
        case "compressed-tensors":
            return int(_first_weights(quantization).get("num_bits", 8))
        case _:
            return int(quantization.get("bits", 8))


def logical(weights: Weights, config: Config) -> dict[str, StoredTensor]:
    """The weights as numbers of the bits that they take: packed ones expanded, scales and tables left out."""
    bits = bits_of(config)
    if method_of(config) is None or bits is None:
        return dict(weights)
    numbers = {name: tensor for name, tensor in weights.items() if not _BESIDE_THE_WEIGHTS.search(name)}
    return {name: _unpacked(name, tensor, bits) for name, tensor in numbers.items()}


def _unpacked(name: str, tensor: StoredTensor, bits: int) -> StoredTensor:
    if _PACKED.search(name) and tensor.dtype == "int32":
        return StoredTensor(f"uint{bits}", (tensor.elements * _PACKED_IN_BITS // bits,))
    if bits == 4 and tensor.dtype == "uint8" and name.endswith(".weight"):
        return StoredTensor("uint4", (tensor.elements * 2,))
    return tensor


def _first_weights(quantization: Config) -> Config:
    """The scheme of compressed-tensors' first group."""
    groups = quantization.get("config_groups") or {}
    return next((group.get("weights") or {} for group in groups.values()), {})


def _groups(scheme: Config, bits: str) -> str:
    size = scheme.get("group_size")
    grouped = f", groups of {size}" if isinstance(size, int) and size > 0 else ""
    return f"{scheme.get(bits, '?')} bit{grouped}"


def _torchao(quantization: Config) -> str:
    kind = quantization.get("quant_type")
    if isinstance(kind, dict):
        kind = (kind.get("default") or {}).get("_type")
    return str(kind or "")
