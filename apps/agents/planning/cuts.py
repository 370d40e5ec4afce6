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
from apps.agents.techniques.knowledge.technique import Cut
from apps.agents.techniques.order import why_not_after

FEWEST_MINUTES = 4.0
"""Of a session that trains at all."""
MINUTES_FOR_TWO = 15.0
TRAINING_SHARE = 0.2
"""Of the session's minutes, for the training of each cut."""
_SPEED = 0.9
"""How well speed follows work: its exponent."""


@dataclass(frozen=True)
class TrainedCut:
    """A model without some of its work, trained again by the last link of `chain`."""

    cut: Cut
    minutes: float
    chain: Chain

    @property
    def reason(self) -> str:
        return (
            f"{self.cut.removed:.0%} of the work is pruned away, and what that costs is learned again in "
            f"{self.minutes:g} minutes."
        )

    def predicted(self, later: Prediction | None) -> Prediction:
        """What the cut does by itself, or together with what `later` is predicted to do to the whole model."""
        left, lost = 1 - self.cut.removed, self.cut.lost_points
        return Prediction(
            speedup=left**-_SPEED * (later.speedup if later else 1.0),
            size_ratio=(later.size_ratio if later else 1.0) / left,
            metric_drop_points=lost + (later.metric_drop_points if later else 0.0),
            metric_drop_high=3 * lost + ((later.metric_drop_high or later.metric_drop_points) if later else 0.0),
            risk=Risk.MEDIUM.value,
            basis="The cut's numbers are those of a residual network on small pictures.",
        )


def trained_cuts(available: Mapping[str, TechniqueSpec], criteria: Criteria, model_format: str) -> list[TrainedCut]:
    """The cuts that a session with these criteria has time for, the gentlest first; `available` may be used in it."""
    session_minutes = criteria.budget.minutes
    if session_minutes < FEWEST_MINUTES:
        return []
    minutes = round(TRAINING_SHARE * session_minutes, 2)
    pruners = [spec for spec in available.values() if spec.knowledge.cuts and model_format in spec.formats]
    pairs = [
        (prune, train) for prune in pruners for train in available.values() if _may_train(prune, train, model_format)
    ]
    return [
        _trained_cut(prune, train, cut, minutes)
        for prune, train in pairs[:1]
        for cut in prune.knowledge.cuts[: 2 if session_minutes >= MINUTES_FOR_TWO else 1]
    ]


def _may_train(prune: TechniqueSpec, train: TechniqueSpec, model_format: str) -> bool:
    return train.knowledge.training(1.0) is not None and why_not_after(train, [prune], model_format) is None


def _trained_cut(prune: TechniqueSpec, train: TechniqueSpec, cut: Cut, minutes: float) -> TrainedCut:
    first = application_of(prune, prune.resolve(cut.parameters))
    second = application_of(train, train.resolve(train.knowledge.training(minutes) or {}))
    return TrainedCut(cut, minutes, (first, second))


def fits_behind(cut: TrainedCut, later: Chain, specs: Mapping[str, TechniqueSpec], model_format: str) -> bool:
    """Whether the links of `later` may follow the cut, one after the other."""
    links = (*cut.chain, *later)
    chain = [specs[link.technique] for link in links]
    places = range(len(cut.chain), len(chain))
    return all(why_not_after(chain[place], chain[:place], model_format) is None for place in places)
