"""Shared by the quantizations of ONNX models: the prepared graph, which nodes they reach, nodes that stay in float."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from apps.agents.backends.onnx import files, runtime
from apps.agents.backends.onnx.graph import prepare_to_quantize
from apps.agents.backends.onnx.nodes import attribute, is_plain
from apps.agents.backends.onnx.normalization import normalized, stored_bits
from apps.agents.backends.onnx.split_model import names_read
from apps.agents.contracts.context import Context
from apps.agents.contracts.errors.techniques import TechniqueNotApplicable, TechniqueParameters
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.evaluation.fidelity import OutputFidelity, finite_parts
from apps.agents.files.onnx_files import subgraphs
from apps.agents.techniques.base import BATCH, Assignment, Coverage, Estimated, QuantizationAgent

_FLOAT32_BYTES = 4
_SMALLEST_AXES = 2
"""Tensors with fewer axes are biases and scales, which are not changed."""

SEVEN_BITS = (
    "Where they are multiplied in 16-bit sums, they use 7 of their 8 bits, so that these sums do not saturate on "
    "processors without VNNI; such weights are right on every processor."
)


def in_seven_bits(assignment: Assignment) -> bool:
    """Whether the weights leave out one of their 8 bits."""
    return bool(assignment.parameters.get("reduce_range"))


class OnnxQuantization(QuantizationAgent):
    """A quantization that starts from the prepared graph at `self.prepared`."""

    prepared: Path
    stored_bits: float
    """Bits of a float in the original model, which the prepared graph stores in 32."""

    @property
    @abstractmethod
    def operators(self) -> frozenset[str]:
        """Every operator type whose weights it can quantize."""

    @abstractmethod
    def bits(self, assignment: Assignment) -> float:
        """Bits of a quantized weight, including its share of the scales."""

    def check(self, assignment: Assignment, context: Context) -> None:
        """Also prepares the graph. Raises `TechniqueParameters` for names that the graph does not have."""
        super().check(assignment, context)
        model = files.open_model(assignment.model, assignment.scratch)
        rewritten = normalized(model, assignment.scratch, widen=True)
        self.prepared = prepare_to_quantize(model, rewritten, assignment.scratch, context)
        self.stored_bits = stored_bits(model)
        if rewritten != model:
            self._log_difference(model, assignment, context)
        proto = self.graph()
        unknown = set(kept_nodes(assignment)) - {node.name for node in proto.graph.node}
        if unknown:
            reason = f"the graph does not have the nodes {', '.join(sorted(unknown)[:5])} to keep in float"
            raise TechniqueParameters(reason=reason, field="parameters")

    def _log_difference(self, model: Path, assignment: Assignment, context: Context) -> None:
        """Log how close the rewritten graph is to the model before quantization, on one batch."""
        sessions = [runtime.open_session(path, threads=assignment.threads) for path in (model, self.prepared)]
        meters = [OutputFidelity(output.name) for output in sessions[0].get_outputs()]
        feeds = next(assignment.batches(BATCH))
        for meter, a, b in zip(meters, *(runtime.run(session, feeds) for session in sessions), strict=True):
            finite = finite_parts(a, b) if a.dtype.kind == "f" and a.shape == b.shape and a.ndim else None
            if finite is not None:
                meter.add(*finite)
        decibels = min((meter.sqnr_db for meter in meters if meter.elements), default=None)
        if decibels is not None:
            context.log(f"Rewritten for quantization, the graph's outputs are {decibels:.1f} dB above the noise.")

    def effect(self, assignment: Assignment, before: ModelSummary, after: ModelSummary) -> str:
        sentence = super().effect(assignment, before, after)
        return f"{sentence} {SEVEN_BITS}" if in_seven_bits(assignment) else sentence

    def graph(self) -> ModelProto:
        """The prepared graph; external weights stay outside."""
        return files.load_proto(self.prepared, weights=False)

    def reached(self, assignment: Assignment) -> frozenset[str]:
        """The operator types whose weights it will quantize in this assignment."""
        return self.operators - set(assignment.parameters.get("keep_float_operators", ()))

    def estimate(self, assignment: Assignment) -> Estimated:
        """Like every quantization; if nothing is covered, with the reason that the graph shows."""
        if not self.coverage(assignment).covered_bytes and (reason := self._why_nothing(assignment)):
            raise TechniqueNotApplicable(technique=assignment.spec.label, reason=reason)
        return super().estimate(assignment)

    def _why_nothing(self, assignment: Assignment) -> str | None:
        how = assignment.engine().summary.quantization
        if how:
            return f"it is already quantized ({how}), and no operator within reach has float weights"
        inner = (graph for node in self.graph().graph.node for graph in subgraphs(node))
        if any(graph.initializer for graph in inner):
            return "its weights are inside branches or loops, which quantization does not reach"
        return None

    def coverage(self, assignment: Assignment) -> Coverage:
        """The weights of all nodes that are not kept by name or by operator."""
        proto = self.graph()
        floats = {t.name: _bytes_of(t) for t in proto.graph.initializer if t.data_type == TensorProto.FLOAT}
        large = {t.name for t in proto.graph.initializer if len(t.dims) >= _SMALLEST_AXES}
        reached = self.reached(assignment)
        kept = set(kept_nodes(assignment))
        names = {
            name
            for node in proto.graph.node
            if node.op_type in reached and node.name not in kept
            for name in node.input
            if name in floats and name in large
        }
        share = self.stored_bits / 32
        covered, whole = sum(floats[name] for name in names), sum(floats.values())
        return Coverage(round(covered * share), round(whole * share), self.bits(assignment), self.stored_bits)


def kept_nodes(assignment: Assignment) -> list[str]:
    """Names of the nodes that stay in float."""
    return [str(name) for name in assignment.parameters.get("keep_float_nodes", ())]


def initializers(proto: ModelProto) -> dict[str, TensorProto]:
    return {tensor.name: tensor for tensor in proto.graph.initializer}


# --- rewriting ------------------------------------------------------------------------------------------------------


def flatten_biases(proto: ModelProto, folder: Path) -> list[str]:
    """Give every `Gemm` a bias with one axis, as ONNX Runtime's quantizer expects. Returns the nodes with other biases.

    The quantizer compares a bias with the weight's scales channel by channel. A bias of shape [1, N] makes it ask for
    "the truth value of an array with more than one element", and a single number for all channels ends the list early.
    Both mean the same as N numbers. A bias with several rows cannot be changed; the names of those nodes are returned.
    """
    stored = initializers(proto)
    odd = []
    for node in proto.graph.node:
        if node.op_type != "Gemm" or len(node.input) < 3 or not node.input[2]:
            continue
        bias, weight = stored.get(node.input[2]), stored.get(node.input[1])
        if bias is None or weight is None:
            continue
        channels = weight.dims[0 if attribute(node, "transB", 0) else 1]
        if list(bias.dims) == [channels]:
            continue
        values = numpy_helper.to_array(bias, str(folder))
        if values.size not in (1, channels):
            odd.append(node.name)
            continue
        flat = numpy_helper.from_array(np.broadcast_to(values.reshape(-1), (channels,)).copy(), f"{bias.name}/flat")
        if flat.name not in stored:
            proto.graph.initializer.append(flat)
            stored[flat.name] = flat
        node.input[2] = flat.name
    return odd


def part_tables(proto: ModelProto, folder: Path) -> None:
    """Give each `Gather` whose table is also a weight of products its own table.

    A product's scales follow its channels, but a `Gather` passes its table's scales on to its output, which has other
    axes. Two copies in 8 bits still take half the size of one in float.
    """
    stored = initializers(proto)
    products = {name for node in proto.graph.node if node.op_type in ("MatMul", "Gemm") for name in node.input}
    for node in proto.graph.node:
        table = node.input[0] if node.op_type == "Gather" else ""
        if table not in stored or table not in products:
            continue
        own = f"{table}/table"
        if own not in stored:
            stored[own] = numpy_helper.from_array(numpy_helper.to_array(stored[table], str(folder)), own)
            proto.graph.initializer.append(stored[own])
        node.input[0] = own


def detach_grouped_biases(proto: ModelProto, folder: Path) -> None:
    """Replace the bias of each grouped `ConvTranspose` by an `Add` after it, which takes over the node's output.

    Its weight is (C, M/group, k…), so one scale per channel of the weight means one per M/group outputs, and ONNX
    Runtime's quantizer fails to give M biases the scales of their layer.
    """
    stored = initializers(proto)
    nodes: list[NodeProto] = []
    for node in proto.graph.node:
        nodes.append(node)
        bias = stored.get(node.input[2]) if node.op_type == "ConvTranspose" and len(node.input) > 2 else None
        weight = stored.get(node.input[1]) if bias is not None else None
        if bias is None or weight is None or attribute(node, "group", 1) == 1:
            continue
        values = numpy_helper.to_array(bias, str(folder))
        shaped = values.reshape(1, -1, *[1] * (len(weight.dims) - 2))
        name, output = f"{node.name}/bias", node.output[0]
        proto.graph.initializer.append(numpy_helper.from_array(shaped, name))
        node.output[0] = f"{node.name}/spread"
        del node.input[2]
        nodes.append(helper.make_node("Add", [node.output[0], name], [output], name=name))
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    drop_unread(proto)


def split_gemms(proto: ModelProto, keep: Iterable[str], folder: Path) -> None:
    """Replace each `Gemm` with a stored weight by `MatMul` and `Add`, for techniques that support only `MatMul`.

    The `MatMul` keeps the node's name. Nodes in `keep`, and those with factors or a transposed input, are not changed.
    """
    kept = set(keep)
    stored = initializers(proto)
    nodes: list[NodeProto] = []
    for node in proto.graph.node:
        if node.op_type != "Gemm" or node.name in kept or not is_plain(node) or node.input[1] not in stored:
            nodes.append(node)
            continue
        weight = node.input[1]
        if attribute(node, "transB", 0):
            weight = f"{node.input[1]}/transposed"
            if weight not in stored:
                turned = numpy_helper.to_array(stored[node.input[1]], str(folder)).T.copy()
                stored[weight] = numpy_helper.from_array(turned, weight)
                proto.graph.initializer.append(stored[weight])
        has_bias = len(node.input) > 2 and bool(node.input[2])
        product = f"{node.output[0]}/product" if has_bias else node.output[0]
        nodes.append(helper.make_node("MatMul", [node.input[0], weight], [product], name=node.name))
        if has_bias:
            nodes.append(helper.make_node("Add", [product, node.input[2]], list(node.output), name=f"{node.name}/bias"))
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    drop_unread(proto)


def save_beside(proto: ModelProto, prepared: Path, name: str) -> Path:
    """Write a changed graph next to the original, so that references to external weights stay valid."""
    target = prepared.with_name(name)
    onnx.save(proto, str(target))
    return target


def drop_unread(proto: ModelProto) -> None:
    """Remove stored tensors that no node and no output of the graph reads."""
    read = {name for node in proto.graph.node for name in names_read(node)}
    read.update(output.name for output in proto.graph.output)
    for index in reversed(range(len(proto.graph.initializer))):
        if proto.graph.initializer[index].name not in read:
            del proto.graph.initializer[index]


def _bytes_of(tensor: TensorProto) -> int:
    elements = 1
    for axis in tensor.dims:
        elements *= axis
    return elements * _FLOAT32_BYTES
