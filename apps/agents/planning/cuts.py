"""Candidates that start from a pruned model and its training: their links and their predictions.

They are planned if the data set has a training part and the session's minutes allow for training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from apps.agents.contracts.chain import Chain
from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.searching import PLACE
from apps.agents.contracts.state import Prediction
from apps.agents.planning.chains import application_of
from apps.agents.planning.speed_goals import Pace
from apps.agents.techniques.catalogue import Risk, TechniqueSpec
from apps.agents.techniques.knowledge.speed_goal import goals_in_words
from apps.agents.techniques.knowledge.technique import Cut
from apps.agents.techniques.order import why_not_after

FEWEST_MINUTES = 4.0
"""A session with fewer minutes does not train."""
MINUTES_FOR_TWO = 15.0
"""A session with at least this many minutes tries two cuts, and a student, instead of one of them."""
MINUTES_FOR_SEARCH = 40.0
"""A session with at least this many minutes also searches for an architecture."""
SEARCH_SHARE = 0.25
"""The share of the session's minutes for a search, besides the training behind it."""
TRAINING_SHARE = 0.2
"""The share of the session's minutes for the training of each cut."""
LONG_SHARE = 0.45
"""The same for a cut that needs a long training. What is left suffices to analyse the model and its export (2 minutes
each at most), to measure and judge the result, and to train a gentler cut should the loss be too large."""
PASS_COSTS = 0.25
"""Of a pass of the original over the examples: what a step of a small network takes besides its own work; measured on
the sample ResNet."""
MOST_REMOVED = 0.98
"""What is left of a network after a deeper cut is too little to be worth training."""
CLEARLY_DEEPER = 0.02
"""A cut that removes only this much more is not tried beside another."""
UNKNOWN_LOSS_POINTS = 3.0
"""Of a student that a member gave: what one with half of its teacher's layers loses."""
_STAYS = 0.03
"""The share of the time that stays however much is cut. The sample ResNet became 12.1 times faster with 5 % of its work
and 16.3 times with 3 %."""


@dataclass(frozen=True)
class TrainedCut:
    """A model without some of its work, trained by the last link of `chain`, which may be the only link."""

    cut: Cut
    minutes: float
    chain: Chain
    searched_minutes: float = 0.0
    place: int = 1
    """Among the best networks that a search finds."""

    @property
    def reason(self) -> str:
        if len(self.chain) == 1:
            return f"A student with {1 - self.cut.removed:.0%} of the work learns for {self.minutes:g} minutes."
        if self.place > 1:
            which = f"Number {self.place} of the networks that the same search finds"
            return f"{which} is trained for {self.minutes:g} minutes."
        if self.searched_minutes:
            return (
                f"A network with about {1 - self.cut.removed:.0%} of the work is searched for in "
                f"{self.searched_minutes:g} minutes, then trained for {self.minutes:g}."
            )
        goals = " and ".join(goals_in_words(self.cut.parameters))
        removed = f"{self.cut.removed:.0%} of the work is pruned away"
        if goals:
            removed = f"Work is pruned away until the limits on speed can be met ({goals})"
        return f"{removed}, then the model is trained for {self.minutes:g} minutes."

    @property
    def prediction(self) -> Prediction:
        """The effect of the cut and its training."""
        left, lost = 1 - self.cut.removed, self.cut.lost_points
        return Prediction(
            speedup=round(1 / (left + _STAYS), 3),
            size_ratio=round(1 / left, 3),
            metric_drop_points=lost,
            metric_drop_high=3 * lost,
            risk=Risk.MEDIUM.value,
            basis=self.cut.basis,
        )


@dataclass(frozen=True)
class Lessons:
    """What there is to train with: a session's minutes, and examples."""

    session_minutes: float
    examples: int
    forward_s: float
    """Seconds that one example takes through the original, by its analysis; 0 before it."""

    def minutes(self, cut: Cut | None = None) -> float:
        """For the training of this cut."""
        share = LONG_SHARE if cut is not None and cut.long else TRAINING_SHARE
        return round(share * self.session_minutes, 2)

    def suffice(self, cut: Cut) -> bool:
        """Whether this cut may be tried: it has enough examples, and its training time to pass over them."""
        return self.examples >= cut.examples and (not cut.passes or self._passes(cut) >= cut.passes)

    def _passes(self, cut: Cut) -> float:
        """How often the training passes over the examples. In the first pass, the original answers each once; a step
        takes about three runs of what is left."""
        first_s = self.examples * self.forward_s
        each_s = first_s * (3 * (1 - cut.removed) + PASS_COSTS)
        return (60 * self.minutes(cut) - first_s) / each_s if each_s else float("inf")


def lessons_of(criteria: Criteria, examples: int, forward_s: float) -> Lessons:
    return Lessons(criteria.budget.minutes, examples, forward_s)


def trained_cuts(
    available: Mapping[str, TechniqueSpec],
    lessons: Lessons,
    model_format: str,
    student_share: float | None = None,
    pace: Pace | None = None,
) -> list[TrainedCut]:
    """The cuts that a session has time for, the gentlest first; `available` may be used in it.

    A session with time for one tries the gentlest. With time for two, it tries the two deepest that its examples and
    minutes allow: if the deeper one loses too much, the other is its fallback. With a `pace`, the gentlest is the cut
    that reaches it. `student_share` is the size of the session's own student as a share of the original; `None` without
    one. It comes first, and takes the place of one cut, however few minutes there are.
    """
    taking = [spec for spec in available.values() if model_format in spec.formats]
    given = [
        _student_cut(spec, student_share, lessons.minutes()) for spec in taking if spec.trains_student and student_share
    ]
    if lessons.session_minutes < FEWEST_MINUTES:
        return given
    cutting = [spec for spec in taking if spec.knowledge.cuts]
    searchers = [spec for spec in cutting if spec.knowledge.searches]
    pruners = [spec for spec in cutting if not _trains(spec) and spec not in searchers]
    trainers = [one for one in available.values() if _trains(one) and one not in cutting and not one.trains_student]
    pairs = [(one, train) for one in pruners for train in trainers if not why_not_after(train, [one], model_format)]
    two = lessons.session_minutes >= MINUTES_FOR_TWO
    pruned = [
        _trained_cut(*pair, cut, lessons.minutes(cut))
        for pair in pairs[:1]
        for cut in _chosen(pair[0].knowledge.cuts, lessons, pace, two=two)
    ]
    found = [
        _searched_cut(search, train, cut, lessons, place)
        for search in searchers
        for train in [one for one in trainers if not why_not_after(one, [search], model_format)][:1]
        for cut in search.knowledge.cuts[:1]
        if lessons.session_minutes >= MINUTES_FOR_SEARCH and lessons.suffice(cut)
        for place in range(1, search.knowledge.best_tried + 1)
    ]
    both = [spec for spec in cutting if _trains(spec)]
    learned = [_learned_cut(spec, cut, lessons.minutes()) for spec in both for cut in spec.knowledge.cuts[:1]]
    return given + (pruned + learned)[: None if two else max(0, 1 - len(given))] + found


def _chosen(cuts: Sequence[Cut], lessons: Lessons, pace: Pace | None, *, two: bool) -> list[Cut]:
    """At most two of a technique's cuts, the gentlest first. Of cuts of the same depth, the last one holds: it states
    what more examples do."""
    offered = list({cut.removed: cut for cut in cuts if lessons.suffice(cut)}.values())
    if pace is None or not offered or (removed := 1 + _STAYS - 1 / pace.speedup) > MOST_REMOVED:
        return offered[-2:] if two else offered[:1]
    paced = _at_pace(offered, removed, pace)
    deeper = [] if paced.long else [cut for cut in offered if cut.removed > removed + CLEARLY_DEEPER]
    return [paced, *deeper[-1:]][: 2 if two else 1]


def _at_pace(offered: Sequence[Cut], removed: float, pace: Pace) -> Cut:
    """The cut that is asked for a speed, for which about this share goes. It is trained as the next deeper one, and its
    loss lies on a line from none to that one's; beyond the deepest, it grows as less is left."""
    like = next((cut for cut in offered if cut.removed >= removed), offered[-1])
    grows = removed / like.removed if removed <= like.removed else (1 - like.removed) / (1 - removed)
    kept = {name: value for name, value in like.parameters.items() if name not in _SHARES}
    lost, parameters = round(grows * like.lost_points, 3), {**kept, **pace.parameters}
    return replace(like, parameters=parameters, removed=removed, lost_points=lost)


_SHARES = ("macs_removed", "weights_removed")
"""Parameters that say how much is cut, which a speed replaces."""


def _trains(spec: TechniqueSpec) -> bool:
    return spec.knowledge.training(1.0) is not None


def _length(spec: TechniqueSpec, minutes: float) -> dict[str, Any]:
    """The parameters of a training that takes `minutes`, on all cores of its worker where it can use them."""
    threads = {"threads": 0} if any(one.name == "threads" for one in spec.parameters) else {}
    return {**(spec.knowledge.training(minutes) or {}), **threads}


def _student_cut(spec: TechniqueSpec, share: float, minutes: float) -> TrainedCut:
    """The session's student. As little as is known of it, its work is taken to be that of its parameters."""
    basis = "The student's parameters as a share of the original's; how well it will do is not known."
    return _learned_cut(spec, Cut({}, 1 - share, UNKNOWN_LOSS_POINTS, basis), minutes)


def _learned_cut(spec: TechniqueSpec, cut: Cut, minutes: float) -> TrainedCut:
    """By a technique that cuts and trains."""
    parameters = {**cut.parameters, **_length(spec, minutes)}
    return TrainedCut(cut, minutes, (application_of(spec, spec.resolve(parameters)),))


def _trained_cut(prune: TechniqueSpec, train: TechniqueSpec, cut: Cut, minutes: float) -> TrainedCut:
    first = application_of(prune, prune.resolve(cut.parameters))
    known = {one.name for one in train.parameters}
    suited = {name: value for name, value in cut.training.items() if name in known}
    second = application_of(train, train.resolve({**suited, **_length(train, minutes)}))
    return TrainedCut(cut, minutes, (first, second))


def _searched_cut(search: TechniqueSpec, train: TechniqueSpec, cut: Cut, lessons: Lessons, place: int) -> TrainedCut:
    """By a technique that takes minutes to find what it cuts: the best network found, or the next one after it."""
    minutes = round(SEARCH_SHARE * lessons.session_minutes, 2)
    known = {one.name for one in search.parameters}
    spent = {name: value for name, value in (("minutes", minutes), ("threads", 0)) if name in known}
    further = {} if place == 1 else {PLACE: place}
    first = application_of(search, search.resolve({**cut.parameters, **spent, **further}))
    second = application_of(train, train.resolve(_length(train, lessons.minutes())))
    return TrainedCut(cut, lessons.minutes(), (first, second), minutes, place)


def fits_behind(earlier: Chain, later: Chain, specs: Mapping[str, TechniqueSpec], model_format: str) -> bool:
    """Whether the links of `later` may follow those of `earlier`, one after the other."""
    chain = [specs[link.technique] for link in (*earlier, *later)]
    places = range(len(earlier), len(chain))
    return all(why_not_after(chain[place], chain[:place], model_format) is None for place in places)
