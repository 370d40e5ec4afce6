"""8-bit quantization of ONNX models by ONNX Runtime: static with measured ranges (QDQ), and dynamic."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper, version_converter
from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.registry import IntegerOpsRegistry, QDQRegistry, QLinearOpsRegistry

from apps.agents.backends.onnx import files
from apps.agents.backends.onnx.calibrated.kept_grids import overrides
from apps.agents.backends.onnx.calibration import METHODS, Ranges, write_ranges
from apps.agents.backends.onnx.graph import library_words
from apps.agents.backends.onnx.runtime import ONE_PROTOBUF_BYTES
from apps.agents.backends.onnx.saving import save_artifact
from apps.agents.backends.onnx.technique import (
    OnnxQuantization,
    detach_grouped_biases,
    flatten_biases,
    in_seven_bits,
    kept_nodes,
    part_tables,
    save_beside,
    split_gemms,
)
from apps.agents.contracts.context import Context
from apps.agents.contracts.errors.techniques import TechniqueParameters
from apps.agents.datasets.layout import FIRST
from apps.agents.measuring.engine import Feeds
from apps.agents.techniques.base import Applied, Assignment

TYPES = {
    "int8": QuantType.QInt8,
    "uint8": QuantType.QUInt8,
    "int16": QuantType.QInt16,
    "uint16": QuantType.QUInt16,
}
PER_CHANNEL_OPSET = 13
"""The first opset whose QuantizeLinear accepts one scale per channel."""
_UNSUPPORTED = frozenset({("int8", "uint8")})
"""Pairs of activation and weight types that the library refuses."""
_WEIGHT_BITS = 8


class StaticQuantization(OnnxQuantization):
    """Weights and activations in 8 bits; QuantizeLinear and DequantizeLinear surround each operator (QDQ).

    The runtime fuses them into integer kernels, if it has them for the number types. Method: Jacob et al. 2018,
    https://arxiv.org/abs/1712.05877.
    """

    @property
    def operators(self) -> frozenset[str]:
        return frozenset(("Conv", "ConvTranspose", "MatMul", "Gemm", "Gather", "EmbedLayerNormalization"))

    def bits(self, assignment: Assignment) -> float:
        return _WEIGHT_BITS

    def reached(self, assignment: Assignment) -> frozenset[str]:
        chosen = frozenset(assignment.parameters["operators"])
        return super().reached(assignment) & chosen if chosen else super().reached(assignment)

    def check(self, assignment: Assignment, context: Context) -> None:
        super().check(assignment, context)
        unknown = set(assignment.parameters["operators"]) - quantizable_operators()
        if unknown:
            reason = f"{', '.join(sorted(unknown))} is not an operator that the runtime can quantize"
            raise TechniqueParameters(reason=reason, field="operators")
        pair = (assignment.parameters["activation_type"], assignment.parameters["weight_type"])
        if pair in _UNSUPPORTED:
            reason = f"{pair[0]} activations cannot be combined with {pair[1]} weights in this runtime"
            raise TechniqueParameters(reason=reason, field="weight_type")

    def apply(self, assignment: Assignment, context: Context) -> Applied:
        proto = self.graph()
        odd = self._flattened(proto, assignment, context)
        with library_words(assignment.spec.label):
            model = save_beside(_at_least(proto, PER_CHANNEL_OPSET), self.prepared, "flattened.onnx")
        ranges = self._ranges(model, assignment, context)
        with library_words(assignment.spec.label):
            endless = touching(proto, ranges.endless | not_finite(proto, self.prepared.parent))
            if endless:
                context.log(f"{', '.join(endless)}: infinities go through, so the nodes stay in float.", "warning")
            context.progress(0.8, "writing 8-bit weights")
            target = _quantized(model, assignment, [*odd, *endless], ranges.cache)
        return Applied(save_artifact(files.load_proto(target), assignment.out), {"left_in_float": [*odd, *endless]})

    def _flattened(self, proto: ModelProto, assignment: Assignment, context: Context) -> list[str]:
        """Prepare biases and tables in place. Returns the nodes that stay in float because of their bias."""
        odd = flatten_biases(proto, self.prepared.parent)
        if odd:
            context.log(f"{', '.join(odd)}: a bias with several rows, so the node stays in float.", "warning")
        if assignment.parameters["per_channel"]:
            detach_grouped_biases(proto, self.prepared.parent)
            part_tables(proto, self.prepared.parent)
        return odd

    def _ranges(self, model: Path, assignment: Assignment, context: Context) -> Ranges:
        """The ranges of activations, measured on the calibration examples."""
        chosen = assignment.parameters
        count = int(chosen["calibration_examples"])
        # Histograms need whole intermediate tensors; smallest and largest values need two numbers for each.
        batches = assignment.batches(count) if chosen["calibration"] == "minmax" else assignment.batches(count, 1)
        with library_words(assignment.spec.label):
            return write_ranges(
                model,
                _chosen_operators(assignment),
                counted(
                    batches,
                    count,
                    lambda share: context.progress(0.8 * share, "measuring ranges"),
                    assignment.dataset.layout.rows,
                ),
                method=chosen["calibration"],
                symmetric=chosen["symmetric_activations"],
                threads=assignment.threads,
                folder=assignment.scratch,
                external=_is_external(model),
            )


def _is_external(model: Path) -> bool:
    return files.size_bytes(model) > ONE_PROTOBUF_BYTES


def _quantized(model: Path, assignment: Assignment, in_float: Sequence[str], cache: Path) -> Path:
    """`model` with 8-bit weights and activations, except for the nodes `in_float`."""
    chosen, target = assignment.parameters, assignment.scratch / "quantized.onnx"
    quantize_static(
        model,
        target,
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=_chosen_operators(assignment),
        per_channel=chosen["per_channel"],
        activation_type=TYPES[chosen["activation_type"]],
        weight_type=TYPES[chosen["weight_type"]],
        reduce_range=in_seven_bits(assignment),
        nodes_to_exclude=[*kept_nodes(assignment), *in_float],
        use_external_data_format=_is_external(model),
        calibrate_method=METHODS[chosen["calibration"]],
        extra_options={
            "ActivationSymmetric": chosen["symmetric_activations"],
            "TensorQuantOverrides": {**_in_all_bits(model, assignment), **_kept_grids(model, assignment)},
        },
        calibration_cache_path=cache,
    )
    return target


def _in_all_bits(model: Path, assignment: Assignment) -> dict[str, list[dict[str, Any]]]:
    """How the library is told to use all 8 bits of the weights of depthwise convolutions although others use 7: their
    kernels add products in 32 bits on every processor, and they lose most by a bit less."""
    if not in_seven_bits(assignment):
        return {}
    graph = files.load_proto(model, weights=False).graph
    shapes = {tensor.name: tensor.dims for tensor in graph.initializer}
    chosen = assignment.parameters
    whole: dict[str, Any] = {"quant_type": TYPES[chosen["weight_type"]], "reduce_range": False}
    one = {"axis": 0, **whole} if chosen["per_channel"] else whole
    return {
        node.input[1]: [one]
        for node in graph.node
        if node.op_type == "Conv" and _is_depthwise(node, shapes.get(node.input[1], ()))
    }


def _kept_grids(model: Path, assignment: Assignment) -> dict[str, list[dict[str, Any]]]:
    """How the library is told to keep roundings that were chosen with care, which are on coarser grids than its own."""
    chosen = assignment.parameters
    if not chosen["per_channel"]:
        return {}
    return overrides(files.load_proto(model, weights=False), model.parent, TYPES[chosen["weight_type"]])


def _is_depthwise(node: NodeProto, weight: Sequence[int]) -> bool:
    """Whether each output channel of a convolution is computed from one input channel of its own."""
    groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
    return len(weight) > 1 and groups > 1 and weight[0] == groups and weight[1] == 1


class DynamicQuantization(OnnxQuantization):
    """Weights in 8 bits; the range of each activation is computed at run time, so it needs no calibration."""

    @property
    def operators(self) -> frozenset[str]:
        return frozenset(IntegerOpsRegistry) | {"Gemm"}

    def bits(self, assignment: Assignment) -> float:
        return _WEIGHT_BITS

    def apply(self, assignment: Assignment, context: Context) -> Applied:
        chosen = assignment.parameters
        kept = set(chosen["keep_float_operators"])
        proto = self.graph()
        float_gemms = [node.name for node in proto.graph.node if node.op_type == "Gemm" and "Gemm" in kept]
        split_gemms(proto, [*kept_nodes(assignment), *float_gemms], self.prepared.parent)
        stay = [*kept_nodes(assignment), *float_gemms]
        with library_words(assignment.spec.label):
            model = save_beside(_at_least(proto, PER_CHANNEL_OPSET), self.prepared, "split.onnx")
            target = assignment.scratch / "quantized.onnx"
            quantize_dynamic(
                model,
                target,
                op_types_to_quantize=sorted(set(IntegerOpsRegistry) - kept),
                per_channel=chosen["per_channel"],
                weight_type=TYPES[chosen["weight_type"]],
                reduce_range=in_seven_bits(assignment),
                # The library converts every Gemm to a MatMul of this name before it reads the names to exclude.
                nodes_to_exclude=[*stay, *(f"{name}_MatMul" for name in stay)],
                use_external_data_format=files.size_bytes(model) > ONE_PROTOBUF_BYTES,
            )
        return Applied(save_artifact(files.load_proto(target), assignment.out))


def quantizable_operators() -> frozenset[str]:
    """Every operator type that static quantization has a rule for."""
    return frozenset(QLinearOpsRegistry) | frozenset(QDQRegistry)


def counted(
    batches: Iterator[Feeds], examples: int, tell: Callable[[float], None], rows: Callable[[Feeds], int] = FIRST.rows
) -> Iterator[Feeds]:
    """Yield `batches`, and report the share of `examples` that has passed after each."""
    passed = 0
    for feeds in batches:
        yield feeds
        passed += rows(feeds)
        tell(min(1.0, passed / examples))


def not_finite(proto: ModelProto, folder: Path) -> set[str]:
    """Stored floats with an infinity or NaN among them; external ones are in `folder`."""
    floats = (tensor for tensor in proto.graph.initializer if tensor.data_type == TensorProto.FLOAT)
    return {one.name for one in floats if not np.isfinite(numpy_helper.to_array(one, str(folder))).all()}


def touching(proto: ModelProto, tensors: Set[str]) -> list[str]:
    """Names of the nodes that read or write one of `tensors`, in the graph's order."""
    return [node.name for node in proto.graph.node if tensors & {*node.input, *node.output}]


def _chosen_operators(assignment: Assignment) -> list[str]:
    """The operator types to quantize, always in the same order, which affects the library's result."""
    chosen = set(assignment.parameters["operators"]) or quantizable_operators()
    return sorted(chosen - set(assignment.parameters["keep_float_operators"]))


def _at_least(proto: ModelProto, opset: int) -> ModelProto:
    """`proto` converted to the standard opset `opset`, unchanged if its own is newer."""
    version = next(entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx"))
    if version >= opset:
        return proto
    converted: ModelProto = version_converter.convert_version(proto, opset)
    return converted
