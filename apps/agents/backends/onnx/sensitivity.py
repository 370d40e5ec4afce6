"""How well each layer, and each type of operator, tolerates 8 bits while everything else stays in float.

The measure is the signal-to-quantization-noise ratio (SQNR) at the model's output in decibels: ten times the logarithm
of the output's energy over the energy of its change. Noise energies of layers are nearly additive, and the method needs
no labels (Lin et al. 2016, https://arxiv.org/abs/1511.06393). Ranges are observed once. An experiment is a variant of
the graph.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from onnx import ModelProto, ValueInfoProto

from apps.agents.analysis.engine import Sensitivity, Tell
from apps.agents.analysis.sensitivity import conduct, experiments
from apps.agents.backends.onnx import runtime
from apps.agents.backends.onnx.fake_quantization import quantizable_nodes, quantized_variant
from apps.agents.backends.onnx.observation import Observation
from apps.agents.backends.onnx.runtime import Feeds
from apps.agents.backends.onnx.split_model import SplitModel
from apps.agents.evaluation.fidelity import energies
from apps.agents.evaluation.sqnr import sqnr_db


def measure_sensitivity(
    split: SplitModel,
    observation: Observation,
    batches: Sequence[Feeds],
    order: Sequence[str],
    *,
    budget_s: float,
    tell: Tell,
    clock: Callable[[], float] = time.monotonic,
) -> Sensitivity:
    """Quantize each operator type alone, then each node alone in the `order` of their names, until `budget_s` has
    passed.

    The output is compared on the examples in `batches`. If the runtime refuses an experiment, the node stays unknown
    and there is a note. Raises `ModelRunFailed` only if the model itself fails.
    """
    found = Sensitivity()
    points = measuring_points(split.proto, observation)
    # 8 bits cannot represent an infinity, so quantization leaves such nodes in float.
    endless = observation.not_finite
    nodes = [node for node in quantizable_nodes(split, observation.ranges) if not endless & {*node.input, *node.output}]
    if not points or not nodes:
        missing = (
            "no float32 tensor near its outputs to compare" if nodes else "no float32 operator that supports 8 bits"
        )
        found.notes.append(f"Quantization sensitivity is not measured: the model has {missing}.")
        return found
    if not {output.name for output in split.proto.graph.output} & set(points):
        found.notes.append(
            f"The outputs are not in float32, so the sensitivity is measured at {', '.join(points)} before them."
        )
    judge = _Judge(split, observation, batches, points)
    planned = list(experiments({node.name: node.op_type for node in nodes}, order))
    conduct(planned, judge.sqnr_db, found, budget_s=budget_s, tell=tell, clock=clock)
    return found


def measuring_points(proto: ModelProto, observation: Observation) -> tuple[str, ...]:
    """The float32 outputs or, without any, the float32 tensors nearest before the outputs."""
    produced = {name: node for node in proto.graph.node for name in node.output}
    names = [output.name for output in proto.graph.output]
    points = [name for name in names if name in observation.ranges]
    seen: set[str] = set()
    while not points and names:
        seen.update(names)
        sources = [produced[name] for name in names if name in produced]
        names = list(dict.fromkeys(name for node in sources for name in node.input if name and name not in seen))
        points = [name for name in names if name in observation.ranges and name in produced]
    return tuple(points)


class _Judge:
    """Compares the float outputs with those of a variant."""

    def __init__(
        self, split: SplitModel, observation: Observation, batches: Sequence[Feeds], points: tuple[str, ...]
    ) -> None:
        self.split, self.ranges, self.batches, self.points = split, observation.ranges, batches, points
        session = split.session(_with_outputs(split.copy(), points))
        self.reference = [runtime.run(session, feeds, points) for feeds in batches]

    def sqnr_db(self, names: tuple[str, ...]) -> float:
        """The lowest SQNR over the measuring points with the nodes `names` quantized."""
        variant = quantized_variant(self.split, names, self.ranges)
        session = self.split.session(_with_outputs(variant.proto, self.points), variant.added)
        found = np.zeros((len(self.points), 2))
        for feeds, reference in zip(self.batches, self.reference, strict=True):
            results = runtime.run(session, feeds, self.points)
            found += [energies(exact, rounded) for exact, rounded in zip(reference, results, strict=True)]
        return min(sqnr_db(signal, noise) for signal, noise in found)


def _with_outputs(proto: ModelProto, points: Sequence[str]) -> ModelProto:
    present = {output.name for output in proto.graph.output}
    proto.graph.output.extend(ValueInfoProto(name=name) for name in points if name not in present)
    return proto
