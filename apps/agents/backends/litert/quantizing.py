"""LiteRT Quantizer behind one function: number types and what stays in float go in, a model comes out.

A recipe is a list of rules, each for the operators whose outputs' names match a pattern; the last rule that fits an
operator decides. See https://github.com/google-ai-edge/LiteRT/tree/main/litert_quantizer. Held beside TensorFlow's own
converter on the same networks it makes files of the same size that are as fast and lose no more, and it starts from a
`.tflite`.
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
"""Operators that the library calls by another name than the schema."""
_NO_OPERATORS = {"*", "INPUT", "OUTPUT", "CUSTOM_OP", "STABLEHLO_COMPOSITE", *_RENAMED.values()}
QUANTIZABLE = frozenset({name.value for name in TFLOperationName} - _NO_OPERATORS | _RENAMED.keys())
"""Operator types that it can compute in whole numbers, by the schema's names."""
WEIGHTED = frozenset(
    ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED", "BATCH_MATMUL", "EMBEDDING_LOOKUP", "GATHER")
)
"""Those whose weights it narrows without touching activations."""
Ranges = Mapping[str, Any]
"""Smallest and largest value of each tensor, as the library keeps them."""


class Mode(StrEnum):
    FLOAT16 = "float16"
    DYNAMIC = "dynamic"
    """Weights narrow; activations are quantized while running."""
    WEIGHT_ONLY = "weight-only"
    """Weights narrow and made floats again before each operator."""
    STATIC = "static"
    """Weights and activations narrow, with ranges measured before."""


@dataclass(frozen=True)
class Scheme:
    """Which number types."""

    mode: Mode
    bits: int = 8
    activation_bits: int = 8
    per_channel: bool = True
    integer_border: bool = False
    """Whether the model takes and gives whole numbers itself (static only)."""


@dataclass(frozen=True)
class Kept:
    """What stays in float: operators by the names of their outputs, and whole operator types."""

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
    """`model` in the number types of `scheme`; with `only`, nothing but the operators of these names.

    Static schemes need the `ranges` that `measure_ranges` gave for the same model. Raises `TechniqueLibraryFailed`.
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
    """`model` with a signature, by which the library feeds it; as it is where it has one."""
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
    """Matches the operator whose first output has this name: the library joins names, each with a semicolon."""
    return f"^{re.escape(name)};"
