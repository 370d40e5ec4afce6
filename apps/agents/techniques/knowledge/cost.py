"""What applying a technique costs in time, before it is applied. Light.

Seconds are those of a machine that does nothing else. Where a model is run, they follow from its measured latency, so
they hold for any machine; the rest was measured on one core of an AMD EPYC of 2023.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CALIBRATION_EXAMPLES, EPOCHS, STEPS, MINUTES = "calibration_examples", "epochs", "steps", "minutes"
"""Parameters that say how often examples are passed through the model: how many, how often, or for how long."""
EXAMPLES_A_STEP = 32
"""Of training."""


@dataclass(frozen=True)
class CostFacts:
    """What is known of the model that a technique starts from, and of the data."""

    forward_s: float
    """Seconds that one example takes through the model, by its analysis; 0 before it."""
    calibration_examples: int
    training_examples: int
    parameters: int


@dataclass(frozen=True)
class Cost:
    """Seconds of applying a technique, and where the number comes from, as a part of a sentence."""

    seconds: float
    basis: str


@dataclass(frozen=True)
class CostRule:
    """Seconds that grow with the model and with the examples that are passed through it."""

    basis: str
    fixed_s: float = 1.0
    per_million_s: float = 0.1
    """For each million of parameters: opening, changing and writing the weights."""
    passes: float = 0.0
    """Runs of the model, for each calibration example that the technique takes."""
    training_passes: float = 0.0
    """Runs of the model that one example costs in training, each time it is trained on."""

    def cost(self, parameters: Mapping[str, Any], facts: CostFacts) -> Cost:
        """The cost with these complete parameters."""
        asked = int(parameters.get(CALIBRATION_EXAMPLES, facts.calibration_examples))
        runs = self.passes * min(asked, facts.calibration_examples)
        steps = int(parameters.get(STEPS, 0))
        trained = int(parameters.get(EPOCHS, 0)) * facts.training_examples + steps * EXAMPLES_A_STEP
        runs += self.training_passes * trained
        asked_s = 0.0 if steps else 60 * float(parameters.get(MINUTES, 0.0))
        weights_s = self.per_million_s * facts.parameters / 1e6
        seconds = self.fixed_s + weights_s + asked_s + runs * facts.forward_s
        return Cost(seconds, f"it trains for {asked_s:.0f} s, as asked" if asked_s else self._basis_of(runs, facts))

    def _basis_of(self, runs: float, facts: CostFacts) -> str:
        if not runs or not facts.forward_s:
            return self.basis
        return f"{self.basis}; {runs:,.0f} runs of the model at {1000 * facts.forward_s:.3g} ms"


_SAMPLES = "measured on the sample ResNet and depthwise network"
_PLAIN = CostRule(f"weights are rewritten once, as {_SAMPLES}")
_CALIBRATED = CostRule(f"examples are passed through the model and their ranges kept, as {_SAMPLES}", passes=4.0)
_TRAINED = CostRule(
    "each example of an epoch takes a run of the original, and a run and a step back of the changed model, which "
    "counts as three runs",
    fixed_s=4.0,
    passes=1.0,
    training_passes=4.0,
)
_EXPORTED = CostRule("estimated: the model is traced, converted and compared on a few examples", 5.0, 0.5)
_BY_FAMILY: Mapping[str, CostRule] = {
    "export": _EXPORTED,
    "graph optimization": _PLAIN,
    "pruning": _TRAINED,
    "training": _TRAINED,
    "distillation": _TRAINED,
    "architecture search": _TRAINED,
    "compression": _TRAINED,
}


def usual_rule(family: str, needs_calibration: bool) -> CostRule:
    """The rule for techniques of which nobody has measured more."""
    return _BY_FAMILY.get(family, _CALIBRATED if needs_calibration else _PLAIN)
