"""Candidates that start from a pruned and recovered model: their links before, and what they are predicted to do.

They are planned where the data set sets examples apart to train on and the session's minutes allow for training. What
comes behind the cut is whatever promises most for the whole model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from apps.agents.contracts.chain import Chain
from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.state import Prediction
from apps.agents.planning.chains import application_of
from apps.agents.techniques.catalogue import Risk, TechniqueSpec
from apps.agents.techniques.order import why_not_after

PRUNE, RECOVER = "torch-prune", "torch-recover"
FEWEST_MINUTES = 4.0
"""Of a session that trains at all."""
MINUTES_FOR_TWO = 15.0
TRAINING_SHARE = 0.2
"""Of the session's minutes, for the training of each cut."""
LOST_POINTS: Mapping[float, float] = {0.7: 0.8, 0.9: 2.0}
"""After a short training, by the share of the multiply-accumulates that was removed: a residual network on
Fashion-MNIST, measured."""
_SPEED = 0.9
"""How well speed follows work: its exponent."""


@dataclass(frozen=True)
class Cut:
    """A model without a `share` of its work, trained again by the last link of `chain`."""

    share: float
    chain: Chain

    @property
    def reason(self) -> str:
        minutes = self.chain[-1].parameters["minutes"]
        return f"{self.share:.0%} of the work is pruned away, and what that costs learned again in {minutes:g} minutes."

    def predicted(self, later: Prediction | None) -> Prediction:
        """What the cut does by itself, or together with what `later` is predicted to do to the whole model."""
        left, lost = 1 - self.share, LOST_POINTS[self.share]
        return Prediction(
            speedup=left**-_SPEED * (later.speedup if later else 1.0),
            size_ratio=(later.size_ratio if later else 1.0) / left,
            metric_drop_points=lost + (later.metric_drop_points if later else 0.0),
            metric_drop_high=3 * lost + ((later.metric_drop_high or later.metric_drop_points) if later else 0.0),
            risk=Risk.MEDIUM.value,
            basis="The cut's numbers are those of a residual network on small pictures.",
        )


def cuts(available: Mapping[str, TechniqueSpec], criteria: Criteria, model_format: str) -> list[Cut]:
    """The cuts that a session with these criteria has time for, the gentlest first; `available` may be used in it."""
    prune, recover = available.get(PRUNE), available.get(RECOVER)
    minutes = criteria.budget.minutes
    if prune is None or recover is None or model_format not in prune.formats or minutes < FEWEST_MINUTES:
        return []
    shares = sorted(LOST_POINTS)[: 2 if minutes >= MINUTES_FOR_TWO else 1]
    training = {"minutes": round(TRAINING_SHARE * minutes, 2)}
    return [
        Cut(
            share,
            (
                application_of(prune, prune.resolve({"macs_removed": share})),
                application_of(recover, recover.resolve(training)),
            ),
        )
        for share in shares
    ]


def fits_behind(cut: Cut, later: Chain, specs: Mapping[str, TechniqueSpec], model_format: str) -> bool:
    """Whether the links of `later` may follow the cut, one after the other."""
    links = (*cut.chain, *later)
    chain = [specs[link.technique] for link in links]
    places = range(len(cut.chain), len(chain))
    return all(why_not_after(chain[place], chain[:place], model_format) is None for place in places)
