"""Candidates that start from a pruned model that is trained again: their links and their predictions.

They are planned if the data set has a training part and the session's minutes allow for training.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from apps.agents.contracts.chain import Chain
from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.state import Prediction
from apps.agents.planning.chains import application_of
from apps.agents.techniques.catalogue import Risk, TechniqueSpec
from apps.agents.techniques.knowledge.retraining import Retraining
from apps.agents.techniques.order import why_not_after


@dataclass(frozen=True)
class Cut:
    """A model without a `share` of its work, trained again by the last link of `chain`."""

    share: float
    chain: Chain
    known: Retraining

    @property
    def reason(self) -> str:
        minutes = self.chain[-1].parameters["minutes"]
        return f"{self.share:.0%} of the work is pruned away, then the model is trained for {minutes:g} minutes."

    @property
    def prediction(self) -> Prediction:
        """The effect of the cut and its training."""
        left, lost = 1 - self.share, self.known.points_lost[self.share]
        return Prediction(
            speedup=round(left**-self.known.speed_exponent, 3),
            size_ratio=round(1 / left, 3),
            metric_drop_points=lost,
            metric_drop_high=3 * lost,
            risk=Risk.MEDIUM.value,
            basis="The cut's numbers are those of a residual network on small images.",
        )


def cuts(available: Mapping[str, TechniqueSpec], criteria: Criteria, model_format: str) -> Iterator[Cut]:
    """The cuts that a session with these criteria has time for, the smallest first. Only `available` techniques are
    used."""
    minutes = criteria.budget.minutes
    for prune in available.values():
        known = prune.knowledge.retraining
        train = available.get(known.by) if known else None
        if known is None or train is None or model_format not in prune.formats or minutes < known.fewest_minutes:
            continue
        training = train.resolve({"minutes": round(known.share_of_session * minutes, 2)})
        for share in sorted(known.points_lost)[: 2 if minutes >= known.minutes_for_two else 1]:
            pruning = prune.resolve({known.parameter: share})
            yield Cut(share, (application_of(prune, pruning), application_of(train, training)), known)


def fits_behind(earlier: Chain, later: Chain, specs: Mapping[str, TechniqueSpec], model_format: str) -> bool:
    """Whether the links of `later` may follow those of `earlier`, one after the other."""
    chain = [specs[link.technique] for link in (*earlier, *later)]
    places = range(len(earlier), len(chain))
    return all(why_not_after(chain[place], chain[:place], model_format) is None for place in places)
