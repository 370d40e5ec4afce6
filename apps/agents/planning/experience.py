"""Predictions corrected by what earlier sessions have shown."""

from __future__ import annotations

from collections.abc import Sequence

from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.experience import LEAST_LOSS_POINTS, Expected, Learned, Lesson
from apps.agents.contracts.phrasing import capitalized, column_number
from apps.agents.contracts.state import Prediction
from apps.agents.planning.minutes import with_steps
from apps.agents.planning.risk import higher, risk_of
from apps.agents.techniques.catalogue import Risk

MOSTLY = 0.5
"""From this weight on, experience determines the risk, and number types are not tried only to know them."""


def with_experience(prediction: Prediction, kinds: Sequence[str], learned: Learned, criteria: Criteria) -> Prediction:
    """`prediction` of a candidate of these kinds, moved by the lesson on the narrowest of them; unchanged without one.

    Numbers are multiplied by the lesson's factors. The range of the loss shrinks by what is known of it.
    """
    lesson = learned.of(kinds)
    if lesson is None:
        return prediction
    speedup = round(prediction.speedup * lesson.speedup, 3)
    drop = _lost(prediction.metric_drop_points, lesson)
    high = _high(prediction, drop, lesson)
    source = _source(speedup, prediction.speedup, lesson)
    return prediction.model_copy(
        update={
            "speedup": speedup,
            "size_ratio": round(prediction.size_ratio * lesson.size_ratio, 3),
            "metric_drop_points": drop,
            "metric_drop_high": high,
            "risk": _risk(prediction, drop, high, lesson, criteria),
            "basis": f"{source} {prediction.basis}",
            "history": source,
            "tables": expected_of(prediction),
            "experience": lesson.weight,
        }
    )


def with_experienced_minutes(prediction: Prediction, kinds: Sequence[str], learned: Learned) -> Prediction:
    """`prediction`, whose minutes are those of the tables, with minutes as earlier sessions took."""
    lesson = learned.of(kinds) or learned.of_any
    if prediction.minutes is None or (lesson.minutes == 1.0 and prediction.tables is None):
        return prediction
    tables = prediction.tables or expected_of(prediction)
    moved = {"tables": tables.model_copy(update={"minutes": prediction.minutes})}
    if lesson.minutes == 1.0:
        return prediction.model_copy(update=moved)
    times = f"{capitalized(_sessions(lesson))} took {lesson.minutes:.2g} times as long as the tables expect."
    basis = {"minutes_basis": f"{prediction.minutes_basis} {times}"}
    steps = [
        one.model_copy(update={"minutes": round(one.minutes * lesson.minutes, 3), "basis": f"{one.basis}. {times}"})
        for one in prediction.steps
    ]
    longer = {"minutes": round(prediction.minutes * lesson.minutes, 3)}
    known = prediction.model_copy(update={**moved, **basis, **longer})
    return with_steps(known, steps) if steps else known


def expected_of(prediction: Prediction) -> Expected:
    """The numbers of a prediction."""
    return Expected(
        speedup=prediction.speedup,
        size_ratio=prediction.size_ratio,
        metric_drop_points=prediction.metric_drop_points,
        minutes=prediction.minutes,
        risk=prediction.risk,
    )


def as_tables(prediction: Prediction) -> Prediction:
    """The prediction with the numbers of the tables, if a history moved it."""
    if prediction.tables is None:
        return prediction
    numbers = {name: value for name, value in prediction.tables if not (name == "risk" and value is None)}
    return prediction.model_copy(update={**numbers, "tables": None, "history": None, "experience": 0.0})


def _lost(points: float, lesson: Lesson) -> float:
    """A loss multiplied as losses are compared: with `LEAST_LOSS_POINTS` added, and never below 0 unless it was."""
    if points < 0:
        return points
    return round(max(0.0, (points + LEAST_LOSS_POINTS) * lesson.loss - LEAST_LOSS_POINTS), 3)


def _high(prediction: Prediction, drop: float, lesson: Lesson) -> float | None:
    """The loss at worst: as far above the loss as before, less the share that is experience; `None` once that is
    all."""
    if prediction.metric_drop_high is None:
        return None
    above = (prediction.metric_drop_high - prediction.metric_drop_points) * (1 - lesson.loss_weight)
    return round(drop + above, 3) if above > 0 else None


def _risk(prediction: Prediction, drop: float, high: float | None, lesson: Lesson, criteria: Criteria) -> str:
    """The risk of the moved loss, once experience makes most of it; before that, no lower than it was."""
    risk = risk_of(drop, criteria)
    risk = risk if high is None else higher(risk, risk_of(high, criteria))
    if lesson.loss_weight >= MOSTLY:
        return risk.value
    return max(Risk(prediction.risk), risk, key=list(Risk).index).value


def _source(speedup: float, before: float, lesson: Lesson) -> str:
    moved = f"{column_number(speedup)}×, from {_sessions(lesson)}"
    return f"{moved}; the tables alone say {column_number(before)}×."


def _sessions(lesson: Lesson) -> str:
    return f"{lesson.sessions} session{'s' * (lesson.sessions != 1)} on {lesson.similar_to}"
