"""Types and shapes of intermediate tensors from the runtime, which knows every operator.

onnx's own inference stops at operators of other domains (ai.onnx.ml, com.microsoft), and quantization libraries stop at
an unknown type.
"""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from apps.agents.backends.onnx import runtime
from apps.agents.contracts.errors.running import ModelNotLoadable

_TYPES = {
    **{name.lower(): number for name, number in TensorProto.DataType.items()},
    "float": TensorProto.FLOAT,
}
"""Element types in the runtime's spelling, such as `int64` in `tensor(int64)`."""


def with_types(proto: ModelProto, model: Path) -> ModelProto:
    """`proto`, whose weights are beside `model` or in it, with a type for every tensor that had none.

    It is unchanged if every type is known, or if the runtime cannot expose intermediate tensors.
    """
    missing = _without_type(proto)
    if not missing:
        return proto
    shown = ModelProto()
    shown.CopyFrom(proto)
    del shown.graph.value_info[:]
    shown.graph.output.extend(ValueInfoProto(name=name) for name in missing)
    beside = model.with_name("shown.onnx")
    onnx.save(shown, str(beside))
    try:
        session = runtime.open_session(beside, options=runtime.session_options(threads=1, optimize=False))
    except ModelNotLoadable:
        return proto
    finally:
        beside.unlink()
    known = [info for info in proto.graph.value_info if info.name not in missing]
    del proto.graph.value_info[:]
    proto.graph.value_info.extend(known)
    for output in session.get_outputs():
        element = _TYPES.get(output.type.removeprefix("tensor(").removesuffix(")"))
        if output.name in missing and element is not None:
            # The runtime reports no axes both for a single number and for an unknown shape.
            info = helper.make_tensor_value_info(output.name, element, output.shape or None)
            proto.graph.value_info.append(info)
    return proto


def _without_type(proto: ModelProto) -> set[str]:
    known = {
        info.name
        for info in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info)
        if info.type.tensor_type.elem_type or info.type.WhichOneof("value") != "tensor_type"
    }
    return {name for node in proto.graph.node for name in node.output if name} - known
