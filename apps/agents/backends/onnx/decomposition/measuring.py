"""Measures layers of a graph and their factors: time, and what the output loses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto

from apps.agents.backends.onnx.decomposition.layers import OnnxLayer
from apps.agents.backends.onnx.decomposition.surgery import Replacement, replaced
from apps.agents.backends.onnx.decomposition.timing import LayerTimer
from apps.agents.backends.onnx.flow import Flow
from apps.agents.evaluation.fidelity import energies
from apps.agents.techniques.decomposition.factors import Factors
from apps.agents.techniques.decomposition.options import Factorizer

NOISE_EXAMPLES = 96


@dataclass(frozen=True)
class OnnxMeasurer:
    """Of one graph, which is not changed."""

    proto: ModelProto
    layers: Mapping[str, OnnxLayer]
    timer: LayerTimer
    flow: Flow

    def times_ms(self, factorizer: Factorizer, factors: Sequence[Factors]) -> list[float]:
        return self.timer.times_ms(self.layers[factorizer.layer.name], factors)

    def noise(self, factorizer: Factorizer, factors: Factors) -> float:
        """The highest noise-to-signal ratio over the outputs."""
        name = factorizer.layer.name
        changed = replaced(self.proto, {name: self.replacement(factorizer, factors)})
        names = [output.name for output in self.proto.graph.output]
        sums = np.zeros((len(names), 2))
        for exact, noisy in self.flow.fewer(NOISE_EXAMPLES).through((self.proto, names), (changed, names)):
            sums += [energies(a, b) for a, b in zip(exact, noisy, strict=True)]
        return float(max(noise / max(signal, 1e-30) for signal, noise in sums))

    def replacement(self, factorizer: Factorizer, factors: Factors) -> Replacement:
        shift = factorizer.spread.shift(factorizer.layer.matrix, factors.product)
        return Replacement(self.layers[factorizer.layer.name], factors, shift)
