"""LiteRT Quantizer behind one function: takes a model, number types and what stays in float; returns a model.

A recipe is a list of rules, each for the operators whose outputs' names match a pattern. The last matching rule
decides. See https://github.com/google-ai-edge/LiteRT/tree/main/litert_quantizer. Compared with TensorFlow's own
converter on the same networks, its files have the same size, are as fast and lose no more accuracy, and it can start
from a `.tflite`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ai_edge_litert import schema_py_generated as schema
from litert_quantizer import quantizer
from litert_quantizer.algorithm_manager import AlgorithmName
from litert_quantizer.qtyping import QuantGranularity, TFLOperationName

from apps.agents.backends.litert.flatbuffer import DEFAULT_SIGNATURE, LiteRtFile
from apps.agents.backends.litert.one_signature import packed, unpacked
from apps.agents.measuring.engine import Feeds
from apps.agents.techniques.library_calls import library_at_work

EVERY = ".*"
_BORDER = (TFLOperationName.INPUT, TFLOperationName.OUTPUT)
_RENAMED = {"TRANSPOSE_CONV": "CONV_2D_TRANSPOSE"}
"""Operators for which the library and the schema have different names."""
_NO_OPERATORS = {"*", "INPUT", "OUTPUT", "CUSTOM_OP", "STABLEHLO_COMPOSITE", *_RENAMED.values()}
QUANTIZABLE = frozenset({name.value for name in TFLOperationName} - _NO_OPERATORS | _RENAMED.keys())
"""Operator types that it can compute in integers, by the schema's names."""
WEIGHTED = frozenset(
    ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED", "BATCH_MATMUL", "EMBEDDING_LOOKUP", "GATHER")
)
"""Operator types whose weights it quantizes without changing activations."""
Ranges = Mapping[str, Any]
"""Smallest and largest value of each tensor, in the library's format."""


class Mode(StrEnum):
    FLOAT16 = "float16"
    DYNAMIC = "dynamic"
    """Quantized weights; activations are quantized at run time."""
    WEIGHT_ONLY = "weight-only"
    """Quantized weights, converted to float before each operator."""
    STATIC = "static"
    """Quantized weights and activations, with ranges measured beforehand."""


@dataclass(frozen=True)
class Scheme:
    """The number types."""

    mode: Mode
    bits: int = 8
    activation_bits: int = 8
    per_channel: bool = True
    integer_border: bool = False
    """Whether the model's own inputs and outputs are integers (static only)."""


@dataclass(frozen=True)
class Kept:
    """What stays in float: operators by the names of their outputs, and complete operator types."""

    names: Collection[str] = ()
    operators: Collection[str] = ()


def quantize(
    model: bytes,
    scheme: Scheme,
    label: str,
    *,
    kept: Kept | None = None,
    only: Collection[str] = (),
    ranges: Ranges | None = None,
) -> bytes:
    """`model` in the number types of `scheme`; with `only`, restricted to the operators of these names.

    Static schemes need the `ranges` of `measure_ranges` for the same model. Raises `TechniqueLibraryFailed`.
    """
    with library_at_work(label):
        tool = _tool(model, scheme, kept or Kept(), only)
        result = tool.quantize(dict(ranges) if ranges is not None else None, enable_progress_report=False)
        return bytes(result.quantized_model)


def measure_ranges(
    model: bytes, file: LiteRtFile, scheme: Scheme, label: str, batches: Iterable[Feeds], threads: int
) -> Ranges:
    """The ranges of every tensor over `batches`, for static schemes of the same number types."""
    with library_at_work(label):
        tool = _tool(model, scheme, Kept(), ())
        given = [{port.name: feeds[port.name] for port in file.inputs} for feeds in batches]
        ranges: Ranges = tool.calibrate({file.signature or DEFAULT_SIGNATURE: given}, num_threads=threads)
        return ranges


def signed(model: bytes, file: LiteRtFile) -> bytes:
    """`model` with a signature, which the library needs to feed it; unchanged if it has one."""
    if file.signature is not None:
        return model
    with library_at_work("LiteRT"):
        objects = unpacked(model)
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = DEFAULT_SIGNATURE, 0
        signature.inputs = [_port(port.name, port.tensor) for port in file.inputs]
        signature.outputs = [_port(port.name, port.tensor) for port in file.outputs]
        objects.signatureDefs = [signature]
        return packed(objects)


def _port(name: str, tensor: int) -> Any:
    port = schema.TensorMapT()
    port.name, port.tensorIndex = name, tensor
    return port


def _tool(model: bytes, scheme: Scheme, kept: Kept, only: Collection[str]) -> Any:
    tool = quantizer.Quantizer(bytearray(model))
    for pattern in [_pattern(name) for name in only] or [EVERY]:
        _add(tool, scheme, pattern)
    if scheme.mode is Mode.STATIC and not scheme.integer_border:
        for border in _BORDER:
            tool.update_quantization_recipe(EVERY, border, algorithm_key=AlgorithmName.NO_QUANTIZE)
    for operator in kept.operators:
        named = TFLOperationName(_RENAMED.get(operator, operator))
        tool.update_quantization_recipe(EVERY, named, algorithm_key=AlgorithmName.NO_QUANTIZE)
    for name in kept.names:
        tool.update_quantization_recipe(
            _pattern(name), TFLOperationName.ALL_SUPPORTED, algorithm_key=AlgorithmName.NO_QUANTIZE
        )
    return tool


def _add(tool: Any, scheme: Scheme, pattern: str) -> None:
    granularity = QuantGranularity.CHANNELWISE if scheme.per_channel else QuantGranularity.TENSORWISE
    every = TFLOperationName.ALL_SUPPORTED
    match scheme.mode:
        case Mode.FLOAT16:
            config = {"num_bits": 16, "dtype": "FLOAT"}
            rule = {"weight_tensor_config": config, "compute_precision": "FLOAT", "explicit_dequantize": True}
            known = tool.get_quantization_recipe()
            entry = {
                "regex": pattern,
                "operation": "*",
                "algorithm_key": AlgorithmName.FLOAT_CASTING,
                "op_config": rule,
            }
            tool.load_quantization_recipe([*known, entry])
        case Mode.DYNAMIC:
            tool.add_dynamic_config(pattern, every, num_bits=scheme.bits, granularity=granularity)
        case Mode.WEIGHT_ONLY:
            tool.add_weight_only_config(pattern, every, num_bits=scheme.bits, granularity=granularity)
        case Mode.STATIC:
            tool.add_static_config(pattern, every, scheme.activation_bits, scheme.bits, granularity)


def _pattern(name: str) -> str:
    """A pattern for the operator whose first output has this name: the library joins names, each with a semicolon."""
    return f"^{re.escape(name)};"
