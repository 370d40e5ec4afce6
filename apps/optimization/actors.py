"""Actors: each takes an id and calls a function. The rows define the work.

A message may arrive late, twice, or never. Steps are claimed by compare-and-set, advancing a session is idempotent, and
the sweeper resends lost messages.
"""

from __future__ import annotations

import dramatiq
from django.core.management import call_command

from apps.accounts.models import KeptAnswer
from apps.audit import verification
from apps.notifications import outbox
from apps.optimization import attendance, pipeline, retention, runner, watching
from apps.optimization.messages import ADVANCE, RUN_STEP, RUN_STEP_ON_GPU, TIDY_UP, VERIFY_TRAIL
from apps.optimization.models import LONGEST_STEP_MINUTES

STEP_TIME_LIMIT_MS = (LONGEST_STEP_MINUTES + 60) * 60 * 1000
"""Longer than any limit that operators can set for a step, so that the step's own limit ends the work and gives the
reason.
"""
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
    """Removes what teams no longer keep under their retention, old notifications, kept answers and expired logins.
    Looks whether disk and quotas suffice, and once a day whether the audit trail is whole.
    """
    retention.apply_all()
    outbox.prune()
    watching.look_at_room()
    KeptAnswer.objects.forget_old()
    attendance.forget_old()
    call_command("clearsessions")
    verification.keep_fresh()


@dramatiq.actor(**VERIFY_TRAIL.declared, max_retries=1, time_limit=CHORE_TIME_LIMIT_MS)
def verify_trail() -> None:
    """Verifies the audit trail now, because an operator asked for it."""
    verification.verified()
