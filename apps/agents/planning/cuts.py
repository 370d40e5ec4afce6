"""Candidates that start from a pruned model and its training: their links and their predictions.

They are planned if the data set has a training part and the session's minutes allow for training.
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
"""A session with fewer minutes does not train."""
MINUTES_FOR_TWO = 15.0
"""A session with at least this many minutes tries two cuts, and a student, instead of one of them."""
TRAINING_SHARE = 0.2
"""The share of the session's minutes for the training of each cut."""
UNKNOWN_LOSS_POINTS = 3.0
"""Of a student that a member gave: what one with half of its teacher's layers loses."""
_SPEED = 0.9
"""How well speed follows the work: the time is the work that is left, to this power."""


@dataclass(frozen=True)
class TrainedCut:
    """A model without some of its work, trained by the last link of `chain`, which may be the only link."""

    cut: Cut
    minutes: float
    chain: Chain

    @property
    def reason(self) -> str:
        if len(self.chain) == 1:
            return f"A student with {1 - self.cut.removed:.0%} of the work learns for {self.minutes:g} minutes."
        removed = f"{self.cut.removed:.0%} of the work is pruned away"
        return f"{removed}, then the model is trained for {self.minutes:g} minutes."

    @property
    def prediction(self) -> Prediction:
        """The effect of the cut and its training."""
        left, lost = 1 - self.cut.removed, self.cut.lost_points
        return Prediction(
            speedup=round(left**-_SPEED, 3),
            size_ratio=round(1 / left, 3),
            metric_drop_points=lost,
            metric_drop_high=3 * lost,
            risk=Risk.MEDIUM.value,
            basis=self.cut.basis,
        )


def trained_cuts(
    available: Mapping[str, TechniqueSpec], criteria: Criteria, model_format: str, student_share: float | None = None
) -> list[TrainedCut]:
    """The cuts that a session with these criteria has time for, the gentlest first; `available` may be used in it.

    `student_share` is the size of the session's own student as a share of the original; `None` without one. It comes
    first, and takes the place of one cut, however few minutes there are.
    """
    session_minutes = criteria.budget.minutes
    minutes = round(TRAINING_SHARE * session_minutes, 2)
    taking = [spec for spec in available.values() if model_format in spec.formats]
    given = [_student_cut(spec, student_share, minutes) for spec in taking if spec.trains_student and student_share]
    if session_minutes < FEWEST_MINUTES:
        return given
    cutting = [spec for spec in taking if spec.knowledge.cuts]
    pruners = [spec for spec in cutting if not _trains(spec)]
    trainers = [one for one in available.values() if _trains(one) and one not in cutting and not one.trains_student]
    pairs = [
        (prune, train) for prune in pruners for train in trainers if why_not_after(train, [prune], model_format) is None
    ]
    pruned = [_trained_cut(*pair, cut, minutes) for pair in pairs[:1] for cut in pair[0].knowledge.cuts[:2]]
    both = [spec for spec in cutting if _trains(spec)]
    learned = [_learned_cut(spec, cut, minutes) for spec in both for cut in spec.knowledge.cuts[:1]]
    return given + (pruned + learned)[: None if session_minutes >= MINUTES_FOR_TWO else max(0, 1 - len(given))]


def _trains(spec: TechniqueSpec) -> bool:
    return spec.knowledge.training(1.0) is not None


def _student_cut(spec: TechniqueSpec, share: float, minutes: float) -> TrainedCut:
    """The session's student. As little as is known of it, its work is taken to be that of its parameters."""
    basis = "The student's parameters as a share of the original's; how well it will do is not known."
    return _learned_cut(spec, Cut({}, 1 - share, UNKNOWN_LOSS_POINTS, basis), minutes)


def _learned_cut(spec: TechniqueSpec, cut: Cut, minutes: float) -> TrainedCut:
    """By a technique that cuts and trains."""
    parameters = {**cut.parameters, **(spec.knowledge.training(minutes) or {})}
    return TrainedCut(cut, minutes, (application_of(spec, spec.resolve(parameters)),))


def _trained_cut(prune: TechniqueSpec, train: TechniqueSpec, cut: Cut, minutes: float) -> TrainedCut:
    first = application_of(prune, prune.resolve(cut.parameters))
    known = {one.name for one in train.parameters}
    suited = {name: value for name, value in cut.training.items() if name in known}
    second = application_of(train, train.resolve({**suited, **(train.knowledge.training(minutes) or {})}))
    return TrainedCut(cut, minutes, (first, second))


def fits_behind(earlier: Chain, later: Chain, specs: Mapping[str, TechniqueSpec], model_format: str) -> bool:
    """Whether the links of `later` may follow those of `earlier`, one after the other."""
    chain = [specs[link.technique] for link in (*earlier, *later)]
    places = range(len(earlier), len(chain))
    return all(why_not_after(chain[place], chain[:place], model_format) is None for place in places)
