"""Half precision for TensorFlow models: a SavedModel that computes in float16, entirely or only in its products.

`mixed` casts the inputs of convolutions and matrix products and casts their outputs back, as in Micikevicius et al.
2018 (https://arxiv.org/abs/1710.03740). `float16` computes everything in float16, except the statistics of norms, whose
kernels need float32. Both store weights in half precision. Inputs and outputs are unchanged.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from apps.agents.backends.tensorflow.freezing import frozen, save_function
from apps.agents.backends.tensorflow.model import TensorFlowModel
from apps.agents.backends.tensorflow.technique import TensorFlowTechnique, library_words
from apps.agents.contracts.context import Context
from apps.agents.files.reproducible_zip import write_zip
from apps.agents.techniques.base import Applied, Assignment, Coverage, QuantizationAgent

ARTIFACT = "model.zip"
BITS = 16
_WIDE, _HALF = tf.float32.as_datatype_enum, tf.float16.as_datatype_enum
_PRODUCTS = frozenset(("Conv2D", "Conv3D", "DepthwiseConv2dNative", "MatMul", "BatchMatMul", "BatchMatMulV2", "Einsum"))
_NORMS = frozenset(("FusedBatchNormV2", "FusedBatchNormV3"))
"""Their last four inputs are float32, whatever the type of the first."""
_FLOAT32_BYTES = 4


class HalfPrecision(TensorFlowTechnique, QuantizationAgent):
    """Rewrites the frozen graph in half precision."""

    def coverage(self, assignment: Assignment) -> Coverage:
        wide = _FLOAT32_BYTES * assignment.engine().summary.weight_dtypes.get("float32", 0)
        return Coverage(wide, wide, BITS)

    def apply(self, assignment: Assignment, context: Context) -> Applied:
        model = self.opened(assignment)
        folder = Path(tempfile.mkdtemp(prefix="halves-", dir=assignment.scratch))
        with library_words(assignment.spec.label):
            context.progress(0.2, "rewriting the graph")
            function = in_halves(model, whole=assignment.parameters["mode"] == "float16")
            save_function(function, model, folder)
        files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "fingerprint.pb")
        entries = [(path.relative_to(folder).as_posix(), path) for path in files]
        return Applied(write_zip(assignment.out / ARTIFACT, entries, compress=False))


def in_halves(model: TensorFlowModel, *, whole: bool) -> Any:
    """A function of `model` that computes in float16, with its outputs in the order of their names."""
    function = frozen(model)
    graph = _Rewriter(function.graph, whole=whole)
    graph.rewrite()
    inputs = [tensor.name for tensor in function.inputs]
    outputs = [graph.wide(tensor.name) for tensor in function.outputs]
    definition = graph.definition()
    imported = tf.compat.v1.wrap_function(_importing(definition), [])
    return imported.prune([imported.graph.get_tensor_by_name(name) for name in inputs], _found(imported, outputs))


def _importing(definition: Any) -> Callable[[], None]:
    return lambda: tf.graph_util.import_graph_def(definition, name="")


def _found(function: Any, names: list[str]) -> list[Any]:
    return [function.graph.get_tensor_by_name(name) for name in names]


class _Rewriter:
    """Writes a graph's nodes again. A tensor that is needed in both types is cast once."""

    def __init__(self, graph: Any, *, whole: bool) -> None:
        self._graph, self._whole, proto = graph, whole, graph.as_graph_def()
        self._versions, self._library = proto.versions, proto.library
        self._nodes: dict[str, Any] = {
            node.name: tf.compat.v1.NodeDef.FromString(node.SerializeToString()) for node in proto.node
        }
        self._casts: dict[str, Any] = {}
        self._halves: set[str] = set()
        """Nodes whose float outputs are in half precision."""

    def rewrite(self) -> None:
        for node in list(self._nodes.values()):
            if self._turns(node):
                self._halves.add(node.name)
                for key, value in node.attr.items():
                    if value.type == _WIDE and key != "U":
                        node.attr[key].type = _HALF
                if node.op == "Const":
                    values = tf.make_ndarray(node.attr["value"].tensor)
                    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(values.astype("float16")))
        for node in list(self._nodes.values()):
            for place, name in enumerate(node.input):
                if not name.startswith("^") and self._is_float(name):
                    takes_half = node.name in self._halves and not (node.op in _NORMS and place > 0)
                    node.input[place] = self._as(name, half=takes_half)

    def wide(self, tensor: str) -> str:
        """The name of an output in float32."""
        return f"{self._as(tensor, half=False)}:0" if self._is_float(tensor) else tensor

    def definition(self) -> Any:
        made = tf.compat.v1.GraphDef(versions=self._versions, library=self._library)
        made.node.extend([*self._nodes.values(), *self._casts.values()])
        return made

    def _turns(self, node: Any) -> bool:
        """Whether a node has to compute, or store its numbers, in half precision."""
        floats = any(value.type == _WIDE for value in node.attr.values())
        if not floats or node.op in ("Placeholder", "Cast"):
            return False
        if node.op == "Const":
            return len(node.attr["value"].tensor.tensor_shape.dim) > 1 or self._whole
        return self._whole or node.op in _PRODUCTS

    def _is_float(self, tensor: str) -> bool:
        """Whether a tensor was originally float32. Shapes and comparisons of floats are not."""
        name, _, place = tensor.partition(":")
        return bool(self._graph.get_tensor_by_name(f"{name}:{place or 0}").dtype == tf.float32)

    def _as(self, tensor: str, *, half: bool) -> str:
        """The tensor in the wanted type, cast if it has the other."""
        name, _, place = tensor.partition(":")
        node = self._nodes[name]
        if node.op in _NORMS and place not in ("", "0"):
            return tensor
        is_half = name in self._halves or (node.op == "Cast" and node.attr["DstT"].type == _HALF)
        if is_half == half:
            return name if place in ("", "0") else tensor
        cast = f"{name}/{place or 0}/{'half' if half else 'float'}"
        if cast not in self._casts:
            made = tf.compat.v1.NodeDef(name=cast, op="Cast", input=[tensor])
            made.attr["SrcT"].type, made.attr["DstT"].type = (_WIDE, _HALF) if half else (_HALF, _WIDE)
            self._casts[cast] = made
        return cast
