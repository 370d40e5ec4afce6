"""Fewer bits for TensorFlow Lite models: float16, dynamic ranges, weights only, and static with measured ranges.

Weights that are already quantized are not changed; only float weights can be reduced.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator

from apps.agents.backends.litert.engine import LiteRtEngine
from apps.agents.backends.litert.flatbuffer import Subgraph, Tensor
from apps.agents.backends.litert.quantizing import (
    QUANTIZABLE,
    WEIGHTED,
    Kept,
    Mode,
    Scheme,
    measure_ranges,
    quantize,
    signed,
)
from apps.agents.contracts.context import Context
from apps.agents.contracts.errors.techniques import TechniqueParameters
from apps.agents.measuring.engine import Feeds
from apps.agents.techniques.base import Applied, Assignment, Coverage, QuantizationAgent

ARTIFACT = "model.tflite"
_SCALE_BITS = 0.1
"""Bits of a channel's scales and zero points, per weight."""


class LiteRtQuantization(QuantizationAgent):
    """A quantization of a `.tflite` file with a scheme that depends on the parameters."""

    reached: frozenset[str] = WEIGHTED
    """Operator types whose weights it quantizes."""

    @abstractmethod
    def scheme(self, assignment: Assignment) -> Scheme:
        """The number types."""

    def check(self, assignment: Assignment, context: Context) -> None:
        """Raises `TechniqueParameters` for operators that the file does not have."""
        super().check(assignment, context)
        file, kept = opened(assignment).file, kept_in_float(assignment)
        unknown = set(kept.names) - {part.name_of(operator) for part in file.parts for operator in part.operators}
        if unknown:
            reason = f"the model does not have the operators {', '.join(sorted(unknown)[:5])} to keep in float"
            raise TechniqueParameters(reason=reason, field="keep_float_nodes")
        foreign = set(kept.operators) - QUANTIZABLE
        if foreign:
            reason = f"{', '.join(sorted(foreign))} is not an operator type that would be quantized"
            raise TechniqueParameters(reason=reason, field="keep_float_operators")

    def coverage(self, assignment: Assignment) -> Coverage:
        parts = opened(assignment).file.parts
        floats = {tensor.buffer: tensor.stored_bytes for part in parts for tensor in part.tensors if _is_float(tensor)}
        narrowed = {number for part in parts for number in self._narrowed(part, assignment)}
        bits = self.scheme(assignment).bits + _SCALE_BITS
        return Coverage(sum(floats.get(number, 0) for number in narrowed), sum(floats.values()), bits)

    def apply(self, assignment: Assignment, context: Context) -> Applied:
        model, scheme = opened(assignment).path.read_bytes(), self.scheme(assignment)
        context.progress(0.1, "writing quantized weights")
        return self._write(assignment, quantize(model, scheme, assignment.spec.label, kept=kept_in_float(assignment)))

    def _write(self, assignment: Assignment, made: bytes) -> Applied:
        target = assignment.out / ARTIFACT
        target.write_bytes(made)
        return Applied(target)

    def _narrowed(self, part: Subgraph, assignment: Assignment) -> Iterator[int]:
        """The buffers that are quantized: matrices and filters. Vectors are biases, which stay in float."""
        kept = kept_in_float(assignment)
        for operator in part.operators:
            stays = operator.op_type in kept.operators or part.name_of(operator) in kept.names
            if operator.op_type in self.reached and not stays:
                weights = part.weights_of(operator)
                yield from (one.buffer for one in weights if _is_float(one) and len(one.shape) > 1)


class Float16(LiteRtQuantization):
    """Weights in float16. The runtime computes in float32, or in half precision if its hardware supports it."""

    def scheme(self, assignment: Assignment) -> Scheme:
        return Scheme(Mode.FLOAT16, bits=16)


class DynamicRange(LiteRtQuantization):
    """Weights in 8 or 4 bits, activations quantized at run time. Needs no calibration data."""

    def scheme(self, assignment: Assignment) -> Scheme:
        chosen = assignment.parameters
        return Scheme(Mode.DYNAMIC, bits=int(chosen["bits"]), per_channel=chosen["per_channel"])


class WeightOnly(LiteRtQuantization):
    """Weights in 8 or 4 bits that are converted to float before each operator: smaller, but not faster."""

    def scheme(self, assignment: Assignment) -> Scheme:
        chosen = assignment.parameters
        return Scheme(Mode.WEIGHT_ONLY, bits=int(chosen["bits"]), per_channel=chosen["per_channel"])


class StaticRange(LiteRtQuantization):
    """Weights in 8 bits, activations in 8 or 16, with ranges measured on calibration data.

    Method: Jacob et al. 2018, https://arxiv.org/abs/1712.05877. Operators that are kept in float are between a
    dequantization and a quantization.
    """

    reached = QUANTIZABLE

    def scheme(self, assignment: Assignment) -> Scheme:
        chosen = assignment.parameters
        return Scheme(
            Mode.STATIC,
            activation_bits=int(chosen["activation_type"].removeprefix("int")),
            per_channel=chosen["per_channel"],
            integer_border=chosen["io_type"] == "integer",
        )

    def apply(self, assignment: Assignment, context: Context) -> Applied:
        label, scheme = assignment.spec.label, self.scheme(assignment)
        engine = opened(assignment)
        file, model = engine.file, signed(engine.path.read_bytes(), engine.file)
        examples = int(assignment.parameters["calibration_examples"])

        def counted_feeds() -> Iterator[Feeds]:
            for done, feeds in enumerate(assignment.batches(examples, 1)):
                context.progress(0.8 * min(1.0, done / examples), "measuring ranges")
                yield feeds

        ranges = measure_ranges(model, file, scheme, label, counted_feeds(), assignment.threads)
        context.progress(0.8, "writing quantized weights")
        return self._write(assignment, quantize(model, scheme, label, kept=kept_in_float(assignment), ranges=ranges))


def opened(assignment: Assignment) -> LiteRtEngine:
    """The assignment's model with the chosen signature, alone in its file."""
    return LiteRtEngine(assignment.model, assignment.scratch, assignment.signature)


def kept_in_float(assignment: Assignment) -> Kept:
    chosen = assignment.parameters
    return Kept(tuple(chosen.get("keep_float_nodes", ())), tuple(chosen.get("keep_float_operators", ())))


def _is_float(tensor: Tensor) -> bool:
    return tensor.stored and tensor.dtype == "float32"
