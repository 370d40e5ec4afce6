"""Rewrites a graph before quantization so that the libraries do not fail on unusual forms.

The function stays the same. `normalized` works on the uploaded file, `settle` on the folded graph. The analysis also
uses the normalized graph, so that its layers have the names that techniques know.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx.inliner
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper, version_converter

from apps.agents.backends.onnx import files
from apps.agents.backends.onnx.runtime import ONE_PROTOBUF_BYTES
from apps.agents.contracts.number_types import BITS, FULL_FLOATS, HALF_FLOATS
from apps.agents.files import onnx_wire
from apps.agents.files.onnx_files import all_graphs
from apps.agents.files.onnx_wire import DEFAULT_DOMAINS, NO_NAMES

NEWEST_QUANTIZED_OPSET = 27
"""The newest opset whose QuantizeLinear the installed runtime implements; a test tries the next one."""
_CONSTANTS_SINCE_IR = 4
_FLOAT = TensorProto.FLOAT
_OTHER_FLOATS = frozenset({TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE})
FLOAT32_BITS = 32.0
_FLOATS = FULL_FLOATS | HALF_FLOATS
_ENOUGH_OTHER_FLOATS = 0.05
"""Minimum share of the stored floats: a constant or two in double are not enough to rewrite a graph."""
_TYPE_ATTRIBUTES = frozenset({"to", "dtype", "output_dtype", "stash_type"})
"""Attributes that contain a number type."""
_WITH_BIAS = frozenset({"Conv", "ConvTranspose", "Gemm"})
_BIAS = 2
"""Index of a bias among the inputs."""
_LIBRARY_SUFFIX = re.compile(
    r"_(quant|scale|zero|dequant|output_|bias_|cast|convert|reshape|reduce|matmul|mul|abs|q4|dq|bnb4|clip|pre_reshape)",
    re.IGNORECASE,
)
"""Suffixes that quantization appends to a tensor's name for the tensors that it derives."""
_LIBRARY_NODE = re.compile("_(de)?quant", re.IGNORECASE)
"""The same for nodes."""


def normalized(model: Path, folder: Path, *, widen: bool = False) -> Path:
    """`model` (opened), or its normalized copy under `folder` if that differs.

    Removes empty inputs at the end of a list, stored tensors from the inputs, and placeholders for unnamed axes.
    Renames nodes whose names quantization uses for its own. Converts operators to the newest opset that can be
    quantized, if theirs is newer. With `widen`, every float is computed and stored in float32; inputs and outputs keep
    their types, with casts.
    """
    widening = widen and _has_other_floats(_float_counts(model))
    proto = files.load_proto(model, weights=widening)
    steps = (_drop_empty_ends, _drop_stored_inputs, _drop_placeholders, _free_node_names, _lower_opset)
    changes = [step(proto) for step in steps]
    if widening:
        proto = to_float32(proto)
    if not widening and not any(changes):
        return model
    return _saved(proto, model, folder, moved=widening)


def settle(proto: ModelProto, folder: Path) -> None:
    """Rename tensors and separate biases in a folded graph, in place. External weights are in `folder`.

    Each convolution and `Gemm` gets its own bias, no tensor has a name that quantization may give to another, and a
    stored output becomes the output of an `Identity`.
    """
    _free_names(proto)
    _own_biases(proto, folder)
    _copy_stored_outputs(proto)


def stored_bits(model: Path) -> float:
    """Average bits of a stored float in an opened model, if quantization widens it; otherwise 32."""
    counts = _float_counts(model)
    if not _has_other_floats(counts):
        return FLOAT32_BITS
    return sum(count * BITS[name] for name, count in counts.items()) / counts.total()


# --- the uploaded file ------------------------------------------------------------------------------------------------


def _float_counts(model: Path) -> Counter[str]:
    counts: Counter[str] = Counter()
    for tensor in onnx_wire.read_model(model).tensors:
        if tensor.dtype in _FLOATS:
            counts[tensor.dtype] += tensor.elements
    return counts


def _has_other_floats(counts: Counter[str]) -> bool:
    return counts.total() - counts["float32"] > _ENOUGH_OTHER_FLOATS * counts.total()


def _saved(proto: ModelProto, model: Path, folder: Path, *, moved: bool) -> Path:
    """Write to `folder`, or beside `model` if the weights stay in files there."""
    external = not moved and len(files.model_files(model)) > 1
    target = (model.parent if external else folder) / "normalized.onnx"
    large = moved and proto.ByteSize() > ONE_PROTOBUF_BYTES
    onnx.save(proto, str(target), save_as_external_data=large, location=f"{target.name}.data" if large else None)
    return target


def _drop_empty_ends(proto: ModelProto) -> bool:
    """Remove empty names at the end of lists of inputs and outputs, which have no meaning."""
    dropped = False
    for node in _all_nodes(proto):
        for names in (node.input, node.output):
            while len(names) > 1 and not names[-1]:
                del names[-1]
                dropped = True
    return dropped


def _drop_stored_inputs(proto: ModelProto) -> bool:
    """Until IR version 4, stored tensors were listed as inputs. The runtime then does not treat them as constants."""
    stored = {tensor.name for tensor in proto.graph.initializer}
    listed = [index for index, info in enumerate(proto.graph.input) if info.name in stored]
    for index in reversed(listed):
        del proto.graph.input[index]
    proto.ir_version = max(proto.ir_version, _CONSTANTS_SINCE_IR)
    return bool(listed)


def _drop_placeholders(proto: ModelProto) -> bool:
    """Remove `?` as an axis name: the runtime would treat all such axes as the same."""
    dropped = False
    for info in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        for axis in info.type.tensor_type.shape.dim:
            if axis.dim_param and axis.dim_param.strip().lower() in NO_NAMES:
                axis.ClearField("dim_param")
                dropped = True
    return dropped


def _free_node_names(proto: ModelProto) -> bool:
    """Quantization finds its own nodes by name, so no other node may have such a name."""
    tensors = _names(proto.graph)
    clashing = [node for node in proto.graph.node if _LIBRARY_NODE.search(node.name) and _base(node.name, tensors)]
    names = {node.name for node in proto.graph.node}
    for node in clashing:
        node.name = _free(f"{node.name}/own", names)
    return bool(clashing)


def _lower_opset(proto: ModelProto) -> bool:
    """Convert ONNX's own operators to an opset that can be quantized. A graph that cannot be converted is unchanged."""
    entry = next((one for one in proto.opset_import if one.domain in DEFAULT_DOMAINS), None)
    if entry is None or entry.version <= NEWEST_QUANTIZED_OPSET:
        return False
    if not _changed_operators(proto, entry.version):
        for one in (*proto.opset_import, *(one for function in proto.functions for one in function.opset_import)):
            if one.domain in DEFAULT_DOMAINS:
                one.version = NEWEST_QUANTIZED_OPSET
        return True
    try:
        converted = version_converter.convert_version(proto, NEWEST_QUANTIZED_OPSET)
    except RuntimeError:  # The older opset lacks an operator, or defines it differently.
        return False
    proto.CopyFrom(converted)
    return True


def _changed_operators(proto: ModelProto, opset: int) -> set[str]:
    """The operators of the graph that `opset` defines differently from the newest opset that can be quantized."""
    used = {node.op_type for node in _all_nodes(proto) if node.domain in DEFAULT_DOMAINS}
    return {
        name
        for name in used
        if onnx.defs.has(name) and onnx.defs.get_schema(name, opset).since_version > NEWEST_QUANTIZED_OPSET
    }


def to_float32(proto: ModelProto) -> ModelProto:
    """`proto`, weights inside, with float16, bfloat16 and double computed and stored as float32 throughout.

    Inputs and outputs keep their types: a cast follows each such input and precedes each such output. Numbers beyond
    the range of float32 become its largest.
    """
    inlined: ModelProto = onnx.inliner.inline_local_functions(proto) if proto.functions else proto
    stored = {tensor.name for tensor in inlined.graph.initializer}
    fed = [info for info in inlined.graph.input if info.name not in stored and _is_other_float(info)]
    given = [info for info in inlined.graph.output if _is_other_float(info)]
    names = _names(inlined.graph)
    renamed = {info.name: _free(f"{info.name}/float32", names) for info in (*fed, *given)}
    _rename(inlined.graph, renamed)
    for depth, graph in enumerate(all_graphs(inlined.graph)):
        _widen_graph(graph, outermost=depth == 0, stored=stored)
    before = [_cast(info.name, renamed[info.name], _FLOAT) for info in fed]
    after = [_cast(renamed[info.name], info.name, info.type.tensor_type.elem_type) for info in given]
    nodes = [*before, *inlined.graph.node, *after]
    del inlined.graph.node[:]
    inlined.graph.node.extend(nodes)
    return inlined


def _is_other_float(info: onnx.ValueInfoProto) -> bool:
    return info.type.tensor_type.elem_type in _OTHER_FLOATS


def _cast(source: str, target: str, data_type: int) -> NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"{target}/cast", to=data_type)


def _widen_graph(graph: GraphProto, *, outermost: bool, stored: set[str]) -> None:
    del graph.value_info[:]
    for tensor in graph.initializer:
        _widen_tensor(tensor)
    for info in (*graph.input, *graph.output):
        if not outermost or info.name in stored:
            _widen_type(info.type)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                _widen_tensor(attribute.t)
            elif attribute.name in _TYPE_ATTRIBUTES and attribute.i in _OTHER_FLOATS:
                attribute.i = _FLOAT


def _widen_type(kind: onnx.TypeProto) -> None:
    if kind.tensor_type.elem_type in _OTHER_FLOATS:
        kind.tensor_type.elem_type = _FLOAT


def _widen_tensor(tensor: TensorProto) -> None:
    if tensor.data_type not in _OTHER_FLOATS:
        return
    values = numpy_helper.to_array(tensor)
    if tensor.data_type == TensorProto.DOUBLE:
        largest = float(np.finfo(np.float32).max)
        values = np.where(np.isfinite(values), np.clip(values, -largest, largest), values)
    tensor.CopyFrom(numpy_helper.from_array(np.asarray(values, np.float32), tensor.name))


# --- the folded graph -------------------------------------------------------------------------------------------------


def _own_biases(proto: ModelProto, folder: Path) -> None:
    """Quantization scales a bias by its layer, so two layers cannot share one."""
    stored = {tensor.name: tensor for tensor in proto.graph.initializer}
    read = Counter(name for node in _all_nodes(proto) for name in node.input)
    names = _names(proto.graph)
    for node in proto.graph.node:
        bias = node.input[_BIAS] if node.op_type in _WITH_BIAS and len(node.input) > _BIAS else ""
        if bias not in stored or read[bias] < 2:
            continue
        copied = proto.graph.initializer.add()
        copied.CopyFrom(stored[bias])
        files.bring_inside(copied, folder)
        copied.name = node.input[_BIAS] = _free(f"{bias}/{node.name}", names)
        read[bias] -= 1


def _free_names(proto: ModelProto) -> None:
    """Rename inner tensors whose names quantization may give to tensors that it derives.

    If an input or output of the graph has such a name, the other tensor is renamed.
    """
    names = _names(proto.graph)
    ends = _ends(proto)
    clashing = {name: base for name in sorted(names) if (base := _base(name, names))}
    wanted = {base if name in ends else name for name, base in clashing.items()}
    _detach(proto, sorted(wanted & ends), names)
    _rename(proto.graph, {name: _free(f"{name}/own", names) for name in sorted(wanted - ends)})
    if wanted:
        del proto.graph.value_info[:]


def _base(name: str, names: set[str]) -> str | None:
    """The tensor from whose name `name` is formed by a suffix that quantization appends; `None` if there is none."""
    bases = (name[: found.start()] for found in _LIBRARY_SUFFIX.finditer(name))
    return next((base for base in bases if base in names), None)


def _ends(proto: ModelProto) -> set[str]:
    return {info.name for info in (*proto.graph.input, *proto.graph.output)}


def _detach(proto: ModelProto, ends: Iterable[str], names: set[str]) -> None:
    """Put an `Identity` between the graph's inputs and outputs and the inner tensors, which get other names."""
    renamed = {name: _free(f"{name}/own", names) for name in ends}
    fed = {info.name for info in proto.graph.input}
    _rename(proto.graph, renamed)
    for name, inner in renamed.items():
        source, target = (name, inner) if name in fed else (inner, name)
        node = helper.make_node("Identity", [source], [target], name=f"{inner}/identity")
        proto.graph.node.insert(0 if name in fed else len(proto.graph.node), node)


def _copy_stored_outputs(proto: ModelProto) -> None:
    """Copy stored outputs, because converters of number types do not expect a stored tensor as an output."""
    stored = {tensor.name for tensor in proto.graph.initializer} - {info.name for info in proto.graph.input}
    _detach(proto, [info.name for info in proto.graph.output if info.name in stored], _names(proto.graph))


# --- names ------------------------------------------------------------------------------------------------------------


def _all_nodes(proto: ModelProto) -> Iterator[NodeProto]:
    for graph in all_graphs(proto.graph):
        yield from graph.node
    for function in proto.functions:
        yield from function.node


def _names(graph: GraphProto) -> set[str]:
    """Every name of a tensor in the graph and the graphs inside it."""
    found: set[str] = set()
    for one in all_graphs(graph):
        found.update(info.name for info in (*one.input, *one.output))
        found.update(tensor.name for tensor in one.initializer)
        found.update(name for node in one.node for name in (*node.input, *node.output))
    return found - {""}


def _free(wanted: str, names: set[str]) -> str:
    """`wanted`, with a number appended if it is taken. Marks the result as taken."""
    name, number = wanted, 1
    while name in names:
        number += 1
        name = f"{wanted}{number}"
    names.add(name)
    return name


def _rename(graph: GraphProto, renamed: dict[str, str]) -> None:
    """Rename tensors wherever nodes read and write them. The graph's own inputs and outputs keep their names."""

    def renew(names: Iterable[str]) -> list[str]:
        return [renamed.get(name, name) for name in names]

    if not renamed:
        return
    for depth, one in enumerate(all_graphs(graph)):
        for tensor in one.initializer:
            tensor.name = renamed.get(tensor.name, tensor.name)
        for node in one.node:
            node.input[:] = renew(node.input)
            node.output[:] = renew(node.output)
        for info in one.output if depth else ():
            info.name = renamed.get(info.name, info.name)
