"""What predictions rest on: the tables that stand here and in the specs; a team's own history may replace them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from apps.agents.techniques.knowledge.technique import TechniqueKnowledge

if TYPE_CHECKING:
    from apps.agents.techniques.spec import TechniqueSpec


@dataclass(frozen=True)
class Knowledge:
    """One state of knowledge: predictions from the same one are the same."""

    by_technique: Mapping[str, TechniqueKnowledge] = field(default_factory=dict)
    """What is known better than the specs say, by the technique's name."""
    unseen_noise: float = 5.0
    """How many times the noise of static int8 an operator may make that no such technique was measured on, and the
    metric may suffer from: a recogniser of texts lost 9 points where a classifier would have lost none."""
    unmeasured_noise: float = 0.3
    """Noise-to-signal ratio that an operator with weights may make whose sensitivity was not measured, as an LSTM's."""
    typical_perplexity: float = 40.0
    """What a loss in nats is told at before the original's own perplexity is known."""
    nats_per_noise: float = 0.08
    """Loss of a language model by the noise-to-signal ratio of its output: 0.0025 nats where 4-bit weights leave
    15 dB."""

    def of(self, spec: TechniqueSpec) -> TechniqueKnowledge:
        """What is known of a technique."""
        return self.by_technique.get(spec.name, spec.knowledge)

    def metric_drop_points(self, noise: float) -> float:
        """Loss of a share metric at this noise-to-signal ratio of the output: a rule of thumb fitted to measurements.

        A ratio of 1 (0 dB) is a collapse. Measured: 33 points at 3 dB (magika), 2 at 10 dB and none that could be told
        from chance at 13 dB (MiniLM), 1 at 17 dB (magika), none at 20 dB or more.
        """
        return float(min(60.0, 60.0 * noise**1.5))

    def perplexity_lost(self, nats: float) -> float:
        """What a loss in nats is in perplexity, at `typical_perplexity`."""
        return self.typical_perplexity * math.expm1(nats)


TABLES = Knowledge()
"""What is known where no team has measured anything."""
