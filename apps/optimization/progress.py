"""The progress and the remaining time of sessions, as they are shown.

The manager's last decision foresaw how long each step under way should take, and what should follow (`Forecast`). Here
what has run since then is taken off, by the clock and by what the steps report. So both move while a step runs, not
only when one ends. It is the same for page, API and terminal.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from apps.agents.contracts.forecast import Forecast
from apps.agents.contracts.state import ACTIVE, Status
from apps.models import clock
from apps.optimization import own_time
from apps.optimization.models import OptimizationSession, SessionStep

OVERRUN = 0.2
"""A step that has taken longer than foreseen is expected to take this share of its time more."""
ALMOST = 0.99
"""The most that a session shows before its end."""


@dataclass(frozen=True)
class Course:
    """What a session shows of its course."""

    progress: float
    """The share of its work that is done, from 0 to 1."""
    eta_s: float | None
    """Seconds of work that are left, without waiting; `None` before the plan and after the end."""


def course_of(session: OptimizationSession, steps: Iterable[SessionStep], now: datetime) -> Course:
    """The course of `session`, whose steps are `steps`."""
    if not session.is_active or session.forecast is None:
        return Course(session.progress, None)
    forecast = Forecast.model_validate(session.forecast)
    rows = list(steps)
    left_s = remaining_s(forecast, rows, now)
    worked_s = own_time.worked_s(rows, now)
    share = worked_s / (worked_s + left_s) if worked_s > 0 else 0.0
    progress = min(ALMOST, max(session.progress, share))
    return Course(round(progress, 4), round(left_s, 1) if forecast.planned else None)


def courses_of(sessions: Iterable[OptimizationSession], now: datetime | None = None) -> Mapping[UUID, Course]:
    """The course of each of `sessions`, in one query for all active ones."""
    rows = list(sessions)
    active = [session.pk for session in rows if session.is_active]
    steps: dict[UUID, list[SessionStep]] = defaultdict(list)
    for step in SessionStep.objects.filter(session__in=active).defer("result") if active else ():
        steps[step.session_id].append(step)
    moment = now or clock.now()
    return {session.pk: course_of(session, steps[session.pk], moment) for session in rows}


def remaining_s(forecast: Forecast, steps: Iterable[SessionStep], now: datetime) -> float:
    """Seconds until the session's end if its steps never wait."""
    active = [step for step in steps if step.status in ACTIVE]
    lefts = [
        _left_s(step, forecast.steps.get(step.key, 0.0), forecast.waits.get(step.key, 0.0), now) for step in active
    ]
    longest_s = max(lefts, default=0.0)
    return max(longest_s, (sum(lefts) + forecast.later_s) / max(1, forecast.at_once))


def _left_s(step: SessionStep, foreseen_s: float, foreseen_wait_s: float, now: datetime) -> float:
    """Seconds until the step ends. The further it has come by its own account, the more that counts.

    `foreseen_wait_s` is the part of `foreseen_s` for which it should wait for a quiet machine. Once it is known, what
    the step says counts instead: what keeps it waiting is expected to last as long as it may wait.
    """
    if step.status != Status.RUNNING or step.started_at is None:
        return foreseen_s
    known = step.quiet_waited_s is not None
    waited_s, waits_s = (step.quiet_waited_s or 0.0, step.quiet_left_s) if known else (0.0, foreseen_wait_s)
    worked_s = max(0.0, (now - step.started_at).total_seconds() - waited_s)
    by_forecast_s = max(foreseen_s - foreseen_wait_s - worked_s, OVERRUN * worked_s)
    if not step.progress:
        return by_forecast_s + waits_s
    by_itself_s = worked_s * (1 - step.progress) / step.progress
    weight = step.progress**2
    return (1 - weight) * by_forecast_s + weight * by_itself_s + waits_s
