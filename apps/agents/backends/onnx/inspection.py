"""Inspects an uploaded ONNX model: whether it is one, is valid, and can run in the installed runtime.

From cheap and safe to thorough: size, content, archive and external data, the wire format, opset and operators, then
onnx's own checker and shape inference (native code, so this runs in a child process). The model is run, once, on zeros,
only if weights seem to fix axes that the file leaves open.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import onnx
import onnx.inliner
from onnxruntime.capi import onnxruntime_pybind11_state as state

from apps.agents.backends.onnx import files, runtime
from apps.agents.backends.onnx.axes import Shape, shape_of, with_fixed_axes
from apps.agents.backends.onnx.normalization import NEWEST_QUANTIZED_OPSET
from apps.agents.contracts.errors.models import (
    ModelEmpty,
    ModelInterfaceUnsupported,
    ModelMalformed,
    ModelTooLarge,
    OperatorsUnknown,
    OpsetUnsupported,
)
from apps.agents.contracts.errors.running import ModelNotLoadable
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.files import onnx_wire
from apps.agents.files.archives import Limits
from apps.agents.files.onnx_files import all_graphs
from apps.agents.files.onnx_wire import DEFAULT_DOMAINS, WireModel

MIB = 1024 * 1024
DEFAULT_LIMIT_BYTES = 8 * 1024 * MIB
OLDEST_OPSET = 7
"""ONNX Runtime guarantees nothing for older opsets (https://onnxruntime.ai/docs/reference/compatibility.html)."""
NEWEST_OPSET: int = onnx.defs.onnx_opset_version()
"""The newest that both onnx and the pinned runtime support; a test loads a model at both ends."""
NEWEST_IR: int = onnx.IR_VERSION
NOT_TENSORS = (
    (
        "map",
        "a map, or a sequence of maps, as ZipMap makes from probabilities",
        "with zipmap=False (skl2onnx: convert_sklearn(..., options={'zipmap': False}))",
    ),
    ("sequence", "a sequence", "with one tensor instead, or one for each part"),
    ("optional", "optional", "with a tensor instead that is always present"),
    ("sparse", "a sparse tensor", "with a dense tensor instead"),
)
"""Marks of types that are not plain tensors (`apps.agents.files.onnx_wire`), their description, and what to do."""
RARE_TYPES = frozenset({"float64", "bfloat16"})
"""Number types of weights that the runtime supports only in some operators."""
VALUES_UNKNOWN = (
    "Shapes that the graph computes, for example in branches or loops, could not all be followed, so some are "
    "unknown until the model runs."
)
LARGEST_SHAPE_TENSOR = 1024
"""Maximum elements of a stored tensor whose values shape inference may need; larger ones stay in external files."""


def inspect(path: Path, scratch: Path, *, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> ModelSummary:
    """The summary of the uploaded model at `path`, after every check has passed. Unpacked files go under `scratch`.

    `limit_bytes` limits the upload and its unpacked size. Raises a `Model…`, `Archive…`, `ExternalData…`, `Opset…` or
    `Operators…` error of `apps.agents.contracts.errors`, each with its own code.
    """
    _refuse_size(path.stat().st_size, limit_bytes)
    model = files.open_model(path, scratch, Limits(total_bytes=limit_bytes))
    _refuse_size(files.size_bytes(model), limit_bytes)
    wire = onnx_wire.read_model(model)
    check_claims(wire)
    notes = check_structure(model)
    check_kernels(wire, model)
    noted = {"notes": (*notes, *_on_cpu(wire, model))}
    summary = wire.summary(files.used_bytes(model, wire)).model_copy(update=noted)
    return with_fixed_axes(summary, model)


def check_claims(wire: WireModel) -> None:
    """Refuse a file that declares no graph, or an opset or operators that the runtime does not support."""
    if not wire.has_graph or not wire.operators:
        raise ModelEmpty(missing="operators" if wire.has_graph else "graph")
    if not wire.outputs:
        raise ModelEmpty(missing="outputs")
    if wire.ir_version is None:
        raise ModelMalformed(reason="it does not declare its version of ONNX")
    if wire.ir_version > NEWEST_IR:
        raise OpsetUnsupported(opset=wire.ir_version, domain="the file format (IR)", low=1, high=NEWEST_IR)
    if wire.opset is not None and not OLDEST_OPSET <= wire.opset <= NEWEST_OPSET:
        raise OpsetUnsupported(opset=wire.opset, domain="ONNX's own operators", low=OLDEST_OPSET, high=NEWEST_OPSET)
    check_interface(wire)
    unknown = unknown_operators(wire)
    if unknown:
        raise OperatorsUnknown(operators=", ".join(f"{name} ({count}×)" for name, count in sorted(unknown.items())))


def check_interface(wire: WireModel) -> None:
    """Refuse inputs and outputs that are not plain tensors. Raises `ModelInterfaceUnsupported` with what to change."""
    for end, specs in (("input", wire.inputs), ("output", wire.outputs)):
        for spec in specs:
            for mark, kind, how in NOT_TENSORS:
                if mark in spec.dtype:
                    raise ModelInterfaceUnsupported(end=end, name=spec.name, kind=kind, how=how)


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


def check_structure(model: Path) -> tuple[str, ...]:
    """Run onnx's checker, then its shape inference. Raises `ModelMalformed` with their message; returns notes.

    Shapes that the file declares for intermediate tensors are ignored: tools that change a model's axes often leave old
    ones behind, and runtimes ignore them. The declared outputs must match.
    """
    try:
        # By path, the checker also opens external data.
        onnx.checker.check_model(str(model), check_custom_domain=False)
        return _check_shapes(model, _for_inference(model))
    except onnx.checker.ValidationError as error:
        raise ModelMalformed(reason=_first_sentence(error)) from error
    except onnx.shape_inference.InferenceError as error:
        raise ModelMalformed(reason=f"shape inference finds a contradiction: {_first_sentence(error)}") from error
    except (ValueError, RuntimeError, UnicodeDecodeError) as error:
        # onnx's native code reports unexpected problems (a broken reference, a bad conversion) this way.
        raise ModelMalformed(reason=_first_sentence(error)) from error


def check_kernels(wire: WireModel, model: Path) -> None:
    """Refuse operators of the newest opset that the runtime, which lags behind, does not implement.

    Raises `OpsetUnsupported`.
    """
    if wire.opset is None or wire.opset <= NEWEST_QUANTIZED_OPSET:
        return
    try:
        runtime.open_session(model, optimize=False)
    except ModelNotLoadable as error:
        raise OpsetUnsupported(
            opset=wire.opset, domain="ONNX's own operators", low=OLDEST_OPSET, high=NEWEST_QUANTIZED_OPSET
        ) from error


def _on_cpu(wire: WireModel, model: Path) -> tuple[str, ...]:
    """A note if the runtime does not run a model of rare number types on a CPU. A GPU may run it."""
    if not any(tensor.dtype in RARE_TYPES for tensor in wire.tensors):
        return ()
    try:
        runtime.open_session(model, optimize=False)
    except ModelNotLoadable as error:
        reason = error.context["reason"]
        return (f"The runtime does not load it on a CPU: {reason}. With float32 weights it would run anywhere.",)
    return ()


def _for_inference(model: Path) -> onnx.ModelProto:
    """The graph with the small tensors that shapes are computed from, without the declared inner shapes."""
    proto = files.load_proto(model, weights=False)
    for graph in all_graphs(proto.graph):
        del graph.value_info[:]
    for tensor in proto.graph.initializer:
        if math.prod(tensor.dims) <= LARGEST_SHAPE_TENSOR:
            files.bring_inside(tensor, model.parent)
    return _inlined(proto)


def _check_shapes(model: Path, proto: onnx.ModelProto) -> tuple[str, ...]:
    """Infer every shape. Raises `onnx.shape_inference.InferenceError`.

    Values are also propagated through the graph if that works. onnx fails on branches that use the same inner names, on
    several loop bodies that do, and on some operators that it implements as functions. A contradiction that appears
    only with values is ignored if the runtime, which infers shapes independently, loads the model.
    """
    try:
        onnx.shape_inference.infer_shapes(proto, check_type=True, strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        if not _consistent(proto) or not _loads(model):
            raise error from None
        return (VALUES_UNKNOWN,)
    return ()


def _consistent(proto: onnx.ModelProto) -> bool:
    """Whether shapes agree without propagating values, or at least the outputs with their declared shapes."""
    try:
        onnx.shape_inference.infer_shapes(proto, check_type=True, strict_mode=True)
    except onnx.shape_inference.InferenceError:
        return all(_agree(declared, found) for declared, found in _outputs(proto))
    return True


def _outputs(proto: onnx.ModelProto) -> Iterator[tuple[Shape | None, Shape | None]]:
    """The declared shape of every output, and its inferred shape as far as it is known."""
    bare = onnx.ModelProto()
    bare.CopyFrom(proto)
    for info in bare.graph.output:
        info.type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(bare)
    for declared, found in zip(proto.graph.output, inferred.graph.output, strict=True):
        yield shape_of(declared), shape_of(found)


def _agree(declared: Shape | None, found: Shape | None) -> bool:
    if declared is None or found is None:
        return True
    pairs = zip(declared, found, strict=False)
    lengths = ((one, other) for one, other in pairs if isinstance(one, int) and isinstance(other, int))
    return len(declared) == len(found) and all(one == other for one, other in lengths)


def _loads(model: Path) -> bool:
    try:
        runtime.open_session(model, optimize=False)
    except ModelNotLoadable:
        return False
    return True


def _inlined(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its own functions inlined, so that inference sees through them."""
    return onnx.inliner.inline_local_functions(proto) if proto.functions else proto


def _refuse_size(size_bytes: int, limit_bytes: int) -> None:
    if size_bytes > limit_bytes:
        raise ModelTooLarge(size_mib=size_bytes / MIB, limit_mib=limit_bytes / MIB)


def _first_sentence(error: Exception) -> str:
    """The message without the node dump that onnx appends, at most 300 characters."""
    text = str(error).split("==> Context:")[0]
    return " ".join(text.split())[:300].rstrip(". ") or type(error).__name__
