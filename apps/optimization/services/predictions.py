"""The planner's own error: what it predicted beside what was measured, by session and by family of techniques."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from statistics import fmean
from typing import Any
from uuid import UUID

from apps.accounts.models import Team
from apps.agents.contracts.experience import Expected
from apps.agents.contracts.reports.constraints import Holds
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.values import Value
from apps.agents.planning.ordering import SUCCESS
from apps.agents.techniques.catalogue import Risk
from apps.optimization.models import Experience, SessionFingerprint

MOST_SESSIONS = 200
"""The newest sessions that are compared."""


class Mistake(Value):
    """How far predictions of some candidates were off."""

    gain: float | None
    """By which factor speed-ups were off, too high or too low, in the geometric mean: 1 is exact. `None` if none was
    timed."""
    gain_measured: float | None
    """Measured over predicted speed-up, in the geometric mean: below 1, predictions were too high."""
    minutes: float | None
    """By which factor minutes were off; `None` if none were predicted."""
    minutes_measured: float | None
    """Measured over predicted minutes."""
    loss: float
    """By how many points, or units of the metric, losses were off, on average."""
    loss_measured: float
    """Measured minus predicted loss, on average: below 0, predictions were too high."""


class SessionMistakes(Value):
    """The predictions of one session."""

    session: UUID
    title: str
    measured_at: datetime
    candidates: int
    predicted: Mistake
    """Of what the plan said."""
    tables: Mistake
    """Of what the plan would have said without the history."""


class FamilyMistakes(Value):
    """The predictions for one family of techniques."""

    family: str
    candidates: int
    sessions: int
    predicted: Mistake
    tables: Mistake


class RiskOutcome(Value):
    """What became of the candidates that were predicted with one risk to lose more than the limit allows."""

    risk: str
    """A `Risk`."""
    predicted: float
    """The chance, from 0 to 1, that a loss breaks the limit which the planner assumes at that risk."""
    candidates: int
    broke: int
    """Of them: how many lost more than the limit, beyond chance."""
    undecided: int
    """Of them: how many the examples did not decide."""

    measured: float | None
    """The share that broke the limit of those that were decided; `None` if none was."""


class PlannerErrors(Value):
    """Predictions and measurements of a team's newest sessions."""

    sessions: tuple[SessionMistakes, ...]
    """The newest first."""
    families: tuple[FamilyMistakes, ...]
    """Those with most candidates first."""
    risks: tuple[RiskOutcome, ...]
    """By predicted risk, the lowest first. Only candidates whose loss had a limit count."""


def planner_errors(team: Team) -> PlannerErrors:
    """What the planner predicted for the team's newest sessions, and what they measured."""
    fingerprints = SessionFingerprint.objects.filter(session__team=team).order_by("-measured_at")
    newest = list(fingerprints.select_related("session__version__model")[:MOST_SESSIONS])
    names = ("fingerprint_id", "family", "tables", "predicted", "speedup", "drop", "minutes", "loss_verdict")
    rows = list(Experience.objects.filter(fingerprint__in=[one.pk for one in newest]).values(*names))
    by_session, by_family = _grouped(rows, "fingerprint_id"), _grouped(rows, "family")
    sessions = [_session(one, by_session[one.pk]) for one in newest if one.pk in by_session]
    families = [_family(name, found) for name, found in by_family.items()]
    ranked = sorted(families, key=lambda one: (-one.candidates, one.family))
    return PlannerErrors(sessions=tuple(sessions), families=tuple(ranked), risks=tuple(_risks(rows)))


def _risks(rows: Iterable[dict[str, Any]]) -> Iterator[RiskOutcome]:
    limited = [row for row in rows if row["loss_verdict"] and row["predicted"].get("risk")]
    for risk in Risk:
        found = [row["loss_verdict"] for row in limited if row["predicted"]["risk"] == risk]
        if not found:
            continue
        broke, undecided = found.count(Holds.VIOLATED), found.count(Holds.INCONCLUSIVE)
        decided = len(found) - undecided
        yield RiskOutcome(
            risk=risk,
            predicted=round(1 - SUCCESS[risk], 4),
            candidates=len(found),
            broke=broke,
            undecided=undecided,
            measured=round(broke / decided, 4) if decided else None,
        )


def _grouped(rows: Iterable[dict[str, Any]], name: str) -> dict[Any, list[dict[str, Any]]]:
    found: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row[name], []).append(row)
    return found


def _session(fingerprint: SessionFingerprint, rows: list[dict[str, Any]]) -> SessionMistakes:
    return SessionMistakes(
        session=fingerprint.pk,
        title=str(fingerprint.session),
        measured_at=fingerprint.measured_at,
        candidates=len(rows),
        predicted=_mistake(rows, "predicted"),
        tables=_mistake(rows, "tables"),
    )


def _family(name: str, rows: list[dict[str, Any]]) -> FamilyMistakes:
    return FamilyMistakes(
        family=name,
        candidates=len(rows),
        sessions=len({row["fingerprint_id"] for row in rows}),
        predicted=_mistake(rows, "predicted"),
        tables=_mistake(rows, "tables"),
    )


def _mistake(rows: Iterable[Mapping[str, Any]], field: str) -> Mistake:
    """Of the expectations in the column `said`."""
    pairs = [(Expected.model_validate(row[field]), row) for row in rows]
    gains = [_speedup(row) / expected.speedup for expected, row in pairs if row["speedup"] and _speedup(row) > 0]
    minutes = [row["minutes"] / expected.minutes for expected, row in pairs if row["minutes"] and expected.minutes]
    losses = [Estimate.model_validate(row["drop"]).value - expected.metric_drop_points for expected, row in pairs]
    return Mistake(
        gain=_geometric(gains, abs),
        gain_measured=_geometric(gains),
        minutes=_geometric(minutes, abs),
        minutes_measured=_geometric(minutes),
        loss=round(fmean(abs(loss) for loss in losses), 3),
        loss_measured=round(fmean(losses), 3),
    )


def _speedup(row: Mapping[str, Any]) -> float:
    return Estimate.model_validate(row["speedup"]).value


def _geometric(ratios: list[float], of: Callable[[float], float] = float) -> float | None:
    """The geometric mean; with `abs`, of the ratios or their reciprocals, whichever are above 1."""
    return round(math.exp(fmean(of(math.log(ratio)) for ratio in ratios)), 4) if ratios else None
