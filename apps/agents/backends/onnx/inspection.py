"""Inspecting an uploaded ONNX model without running it: is it one, is it sound, can the runtime here take it?

The order is from cheap and safe to thorough: size, content, archive and external data, the wire format, opset and
operators, then onnx's own checker and shape inference (native code: this runs in a child process).
"""

from __future__ import annotations

import math
from collections import Counter
from functools import cache
from pathlib import Path

import onnx
import onnx.inliner
from onnxruntime.capi import onnxruntime_pybind11_state as state

from apps.agents import onnx_wire
from apps.agents.archives import Limits
from apps.agents.backends.onnx import files
from apps.agents.errors import ModelEmpty, ModelMalformed, ModelTooLarge, OperatorsUnknown, OpsetUnsupported
from apps.agents.onnx_wire import DEFAULT_DOMAINS, WireModel
from apps.agents.reports import ModelSummary

MIB = 1024 * 1024
DEFAULT_LIMIT_BYTES = 8 * 1024 * MIB
OLDEST_OPSET = 7
"""ONNX Runtime guarantees nothing below (https://onnxruntime.ai/docs/reference/compatibility.html)."""
NEWEST_OPSET: int = onnx.defs.onnx_opset_version()
"""The newest that both onnx and the runtime pinned beside it know; a test loads a model at both ends."""
NEWEST_IR: int = onnx.IR_VERSION
LARGEST_SHAPE_TENSOR = 1024
"""Elements of a stored tensor whose values shape inference may want to see; the others stay in their external files."""


def inspect(path: Path, scratch: Path, *, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> ModelSummary:
    """What the model blob at `path` is, once every check has passed; unpacked files go under `scratch`.

    `limit_bytes` bounds the blob and what it unpacks to. Raises a `Model…`, `Archive…`, `ExternalData…`,
    `Opset…` or `Operators…` error of `apps.agents.errors`, each with its own code.
    """
    _refuse_size(path.stat().st_size, limit_bytes)
    model = files.open_model(path, scratch, Limits(total_bytes=limit_bytes))
    _refuse_size(files.size_bytes(model), limit_bytes)
    wire = onnx_wire.read_model(model)
    check_claims(wire)
    check_structure(model)
    return wire.summary(files.used_bytes(model, wire))


def check_claims(wire: WireModel) -> None:
    """Refuse what the file says of itself: no graph, an opset or operators that the runtime does not know."""
    if not wire.has_graph or not wire.operators:
        raise ModelEmpty(missing="operators" if wire.has_graph else "graph")
    if not wire.outputs:
        raise ModelEmpty(missing="outputs")
    if wire.ir_version is None:
        raise ModelMalformed(reason="it does not say which version of ONNX it is written in")
    if wire.ir_version > NEWEST_IR:
        raise OpsetUnsupported(opset=wire.ir_version, domain="the file format (IR)", low=1, high=NEWEST_IR)
    if wire.opset is not None and not OLDEST_OPSET <= wire.opset <= NEWEST_OPSET:
        raise OpsetUnsupported(opset=wire.opset, domain="ONNX's own operators", low=OLDEST_OPSET, high=NEWEST_OPSET)
    unknown = unknown_operators(wire)
    if unknown:
        raise OperatorsUnknown(operators=", ".join(f"{name} ({count}×)" for name, count in sorted(unknown.items())))


def unknown_operators(wire: WireModel) -> Counter[str]:
    """Operators that neither the runtime nor the model's own functions define, as `domain::type`."""
    known = runtime_operators()
    unknown: Counter[str] = Counter()
    for (domain, op_type), count in (wire.operators + wire.function_operators).items():
        if (domain, op_type) not in known and (domain, op_type) not in wire.functions:
            unknown[f"{domain or 'ai.onnx'}::{op_type}"] += count
    return unknown


@cache
def runtime_operators() -> frozenset[tuple[str, str]]:
    """Every operator that ONNX Runtime has a schema for, by domain (`""` is ONNX's own) and type."""
    schemas = state.get_all_operator_schema()
    return frozenset(("" if schema.domain in DEFAULT_DOMAINS else schema.domain, schema.name) for schema in schemas)


def check_structure(model: Path) -> None:
    """onnx's checker, then its shape inference. Raises `ModelMalformed` with what they say.

    Shapes that the file notes for intermediate tensors are not held against it: tools that change a model's axes often
    leave old ones behind, and no runtime minds. The declared outputs must be what comes out.
    """
    proto = files.load_proto(model, weights=False)
    del proto.graph.value_info[:]
    for tensor in proto.graph.initializer:
        if math.prod(tensor.dims) <= LARGEST_SHAPE_TENSOR:
            files.bring_inside(tensor, model.parent)
    try:
        # By path, the checker also opens external data.
        onnx.checker.check_model(str(model), check_custom_domain=False)
        onnx.shape_inference.infer_shapes(_inlined(proto), check_type=True, strict_mode=True, data_prop=True)
    except onnx.checker.ValidationError as error:
        raise ModelMalformed(reason=_first_sentence(error)) from error
    except onnx.shape_inference.InferenceError as error:
        raise ModelMalformed(reason=f"shape inference finds a contradiction: {_first_sentence(error)}") from error
    except (ValueError, RuntimeError, UnicodeDecodeError) as error:
        # onnx's native code reports what its authors did not foresee (a broken reference, a bad conversion) this way.
        raise ModelMalformed(reason=_first_sentence(error)) from error


def _inlined(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its own functions put in place, so that inference sees through them."""
    return onnx.inliner.inline_local_functions(proto) if proto.functions else proto


def _refuse_size(size_bytes: int, limit_bytes: int) -> None:
    if size_bytes > limit_bytes:
        raise ModelTooLarge(size_mib=size_bytes / MIB, limit_mib=limit_bytes / MIB)


def _first_sentence(error: Exception) -> str:
    """The message without the dump of the node that onnx appends, in at most 300 characters."""
    text = str(error).split("==> Context:")[0]
    return " ".join(text.split())[:300].rstrip(". ") or type(error).__name__
