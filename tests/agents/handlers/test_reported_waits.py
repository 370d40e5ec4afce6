"""What a step that evaluates says about its waiting for a quiet machine."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

from apps.agents.contracts.job import Job, Progress, QuietWait
from apps.agents.evaluation.pace import Pace
from apps.agents.handlers.evaluate import ReportedWaits
from apps.agents.sandbox.child import JobContext


def test_the_waits_of_several_timings_add_up(tmp_path: Path) -> None:
    events = StringIO()
    context = JobContext(Job(handler="any:one", scratch=tmp_path), events)
    waits = ReportedWaits(context, Pace(context))
    waits.waiting("3 programs compete for the cores", 4.0, 11.0)
    waits.ended(5.0)
    waits.waiting("3 programs compete for the cores", 1.0, 14.0)
    waits.ended(2.0)
    told = [Progress.model_validate_json(line).quiet_wait for line in events.getvalue().splitlines()]
    assert told == [
        QuietWait(so_far_s=4.0, left_s=11.0),
        QuietWait(so_far_s=5.0, left_s=0.0),
        QuietWait(so_far_s=6.0, left_s=14.0),
        QuietWait(so_far_s=7.0, left_s=0.0),
    ]
