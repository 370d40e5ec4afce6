"""One run that observes everything in a graph: the shape of every tensor and the range of every float tensor.

The graph runs on a few examples with all intermediate tensors as outputs. Costs need the shapes and quantization
experiments need the ranges; both come from here, so calibration runs only once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from onnx import ValueInfoProto

from apps.agents.backends.onnx import runtime
from apps.agents.backends.onnx.runtime import Feeds
from apps.agents.backends.onnx.split_model import Array, SplitModel

FLOAT32_MAX = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Range:
    """Smallest and largest value seen. Infinities count as the largest finite number of their sign."""

    low: float
    high: float

    def widened(self, other: Range) -> Range:
        return Range(min(self.low, other.low), max(self.high, other.high))


@dataclass
class Observation:
    """`shapes` are from the first batch, which has `examples_per_batch` examples."""

    examples_per_batch: int = 0
    examples: int = 0
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    ranges: dict[str, Range] = field(default_factory=dict)
    """Ranges of float32 tensors with at least one number."""
    not_finite: set[str] = field(default_factory=set)
    """Tensors in which a NaN or an infinity was seen."""

    def add(self, name: str, array: Array) -> None:
        self.shapes.setdefault(name, array.shape)
        if array.dtype != np.float32 or array.size == 0:
            return
        seen = _range(array)
        if seen is None or not np.isfinite(array.sum(dtype=np.float64)):
            self.not_finite.add(name)
        if seen is not None:
            self.ranges[name] = seen.widened(self.ranges[name]) if name in self.ranges else seen


def observe(split: SplitModel, batches: Iterable[Feeds]) -> Observation:
    """Run `batches` (examples on the first axis) and observe every tensor: inputs, intermediates, outputs.

    All tensors of a batch are in memory at once, so a batch of one example is cheapest. Raises `ModelNotLoadable` and
    `ModelRunFailed`.
    """
    proto = split.copy()
    names = [name for node in proto.graph.node for name in node.output if name]
    present = {output.name for output in proto.graph.output}
    # The runtime infers the type of an output that has none.
    proto.graph.output.extend(ValueInfoProto(name=name) for name in names if name not in present)
    session = split.session(proto)
    outputs = [output.name for output in session.get_outputs()]
    observation = Observation()
    for feeds in batches:
        size = max((len(array) for array in feeds.values() if array.ndim), default=1)
        observation.examples_per_batch = observation.examples_per_batch or size
        observation.examples += size
        results = runtime.run(session, feeds)
        for name, array in (*feeds.items(), *zip(outputs, results, strict=True)):
            # Sequences and maps are lists and dictionaries: they have no shape.
            if isinstance(array, np.ndarray):
                observation.add(name, array)
    return observation


def _range(array: Array) -> Range | None:
    """The range of the numbers in `array`; `None` if all are NaN."""
    low, high = float(np.fmin.reduce(array, axis=None)), float(np.fmax.reduce(array, axis=None))
    if np.isnan(low) or np.isnan(high):
        return None
    return Range(max(low, -FLOAT32_MAX), min(high, FLOAT32_MAX))
