"""The numbers on which predictions are based: those here and in the specs, and what a team's own history corrects."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from apps.agents.contracts.experience import Learned
from apps.agents.techniques.knowledge.technique import TechniqueKnowledge
from apps.agents.techniques.knowledge.throughput import Throughput

if TYPE_CHECKING:
    from apps.agents.techniques.spec import TechniqueSpec


@dataclass(frozen=True)
class Knowledge:
    """One state of knowledge. The same state gives the same predictions."""

    by_technique: Mapping[str, TechniqueKnowledge] = field(default_factory=dict)
    """By technique name: knowledge that replaces that of the spec."""
    unseen_noise: float = 5.0
    """How many times the noise of static int8 is possible for an operator on which such a technique was not measured:
    a text recognizer lost 9 points where a classifier would have lost none."""
    unmeasured_noise: float = 0.3
    """The possible noise-to-signal ratio of an operator with weights whose sensitivity was not measured, like an
    LSTM's."""
    overflow_noise: float = 0.01
    """The noise-to-signal ratio where sums saturate: 20 and 23 dB were measured on the samples."""
    overflow_noise_high: float = 0.4
    """Such noise at worst: 4 dB was measured on networks of depthwise convolutions."""
    typical_perplexity: float = 40.0
    """The perplexity at which a loss in nats is converted before the original's own is known."""
    nats_per_noise: float = 0.08
    """A language model's loss in nats per noise-to-signal ratio of its output: 0.0025 nats for the 15 dB of 4-bit
    weights."""

    learned: Learned = field(default_factory=Learned)
    """How the history of earlier sessions corrects predictions, as the session's plan keeps it."""
    throughput: Throughput | None = None
    """How fast such models ran on the machine, for a model that was not analysed yet; `None` if not known."""
    usual_s: Mapping[str, float] = field(default_factory=dict)
    """How long steps took lately: see `SessionState.usual_s`."""

    def of(self, spec: TechniqueSpec) -> TechniqueKnowledge:
        """The knowledge about a technique."""
        return self.by_technique.get(spec.name, spec.knowledge)

    def metric_drop_points(self, noise: float) -> float:
        """The loss, in points, of a metric that is a share, at this noise-to-signal ratio of the output. It is a rule
        of thumb fitted to measurements.

        A ratio of 1 (0 dB) is a collapse. Measured: 33 points at 3 dB (magika), 2 at 10 dB, none beyond chance at 13 dB
        (MiniLM), 1 at 17 dB (magika), none at 20 dB or more.
        """
        return float(min(60.0, 60.0 * noise**1.5))

    def perplexity_lost(self, nats: float) -> float:
        """A loss in nats, converted to perplexity at `typical_perplexity`."""
        return self.typical_perplexity * math.expm1(nats)


TABLES = Knowledge()
"""The knowledge without a team's own measurements."""
