"""What is counted of sessions and their steps."""

from __future__ import annotations

from apps.agents.contracts.state import TERMINAL, Outcome, StepKind
from apps.audit.models import AuditEvent
from apps.monitoring.tallies import SECONDS, Family

_KINDS = tuple(kind.value for kind in StepKind)
ERRORED = "errored"
"""The result of a step that failed because of a bug in Lathe."""

STEPS = Family(
    "lathe_step_duration_seconds",
    "Steps that ended, by the duration of their last run.",
    {"kind": _KINDS, "result": (*sorted(TERMINAL), ERRORED)},
    bounds=SECONDS,
)
RETRIES = Family(
    "lathe_step_retries",
    "Attempts of steps that ended without an end of the step, so that another attempt followed.",
    {"kind": _KINDS, "cause": ("failure", "lease_lost")},
)
LEASES_LOST = Family("lathe_leases_lost", "Steps whose worker fell silent until their lease expired.", {"kind": _KINDS})
VERDICTS = Family("lathe_verdicts", "Verdicts of sessions.", {"outcome": tuple(one.value for one in Outcome)})
SESSIONS = Family("lathe_sessions_ended", "Sessions that ended.", {"status": tuple(sorted(TERMINAL))})


def hear(event: AuditEvent) -> None:
    """Counts the ends of sessions, which the audit trail tells of."""
    subject, _, what = event.action.partition(".")
    if subject != "session" or what not in TERMINAL:
        return
    SESSIONS.count(what)
    if "outcome" in event.data:
        VERDICTS.count(event.data["outcome"])
