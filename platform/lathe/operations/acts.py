"""What operators do from their page: resume failed sessions, and have the audit trail verified."""

from __future__ import annotations

from collections.abc import Iterable

from apps.accounts.models import User
from apps.bulk import ItemOutcome, act_on_each
from apps.optimization import services
from apps.optimization.messages import VERIFY_TRAIL
from apps.optimization.models import OptimizationSession
from apps.outages import require_queue
from lathe.operations.access import ACT, require_operator


def resume(sessions: Iterable[OptimizationSession], user: User) -> tuple[ItemOutcome, ...]:
    """Resumes each where it stopped. Raises `PermissionDenied` and `QueueAway`."""
    require_operator(user, ACT)
    require_queue()
    return act_on_each(sessions, lambda one: services.session_resume(one, user, as_operator=True))


def verify_trail(user: User) -> None:
    """Asks a worker to verify the whole audit trail. Raises `PermissionDenied` and `QueueAway`."""
    require_operator(user)
    require_queue()
    VERIFY_TRAIL.send()
