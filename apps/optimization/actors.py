"""Messages to the workers: an id in, a function called. The rows say what is to be done.

A message may come late, twice, or never: a step is claimed by compare-and-set, asking a session what is next is
idempotent, and the sweeper sends what was lost again.
"""

from __future__ import annotations

import dramatiq
from django.core.management import call_command

from apps.optimization import pipeline, retention, runner
from apps.optimization.messages import ADVANCE, RUN_STEP, RUN_STEP_ON_GPU, TIDY_UP
from apps.optimization.models import LONGEST_STEP_MINUTES

STEP_TIME_LIMIT_MS = (LONGEST_STEP_MINUTES + 60) * 60 * 1000
"""Above the longest limit that operators can set for a step: its own limit ends the work, and says why."""
ADVANCE_TIME_LIMIT_MS = 5 * 60 * 1000
CHORE_TIME_LIMIT_MS = 30 * 60 * 1000


@dramatiq.actor(**ADVANCE.declared, max_retries=3, min_backoff=500, time_limit=ADVANCE_TIME_LIMIT_MS)
def advance(session_id: str) -> None:
    pipeline.advance(session_id)


@dramatiq.actor(**RUN_STEP.declared, max_retries=0, time_limit=STEP_TIME_LIMIT_MS)
def run_step(step_id: int) -> None:
    runner.run_step(step_id)


@dramatiq.actor(**RUN_STEP_ON_GPU.declared, max_retries=0, time_limit=STEP_TIME_LIMIT_MS)
def run_step_on_gpu(step_id: int) -> None:
    runner.run_step(step_id)


@dramatiq.actor(**TIDY_UP.declared, max_retries=1, time_limit=CHORE_TIME_LIMIT_MS)
def tidy_up() -> None:
    """What no longer is to be kept: by each team's retention, and logins that have run out."""
    retention.apply_all()
    call_command("clearsessions")
