"""The kinds of notification: one table, which forms, pages, the API and the docs read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """Something that members can be told about."""

    name: str
    """Stable, dotted; the `type` of a webhook's message."""
    label: str
    help: str
    tone: str = "info"
    """The colour of its badge: `ok`, `info`, `warn` or `bad`."""
    mailed: bool = False
    """Whether a member who has chosen nothing gets it by e-mail."""
    bell_only: bool = False
    """Whether no channel but the bell may carry it."""
    of_operators: bool = False
    """Whether it may concern the installation, and not a team. Then it goes to the operators (staff)."""


SESSION_FINISHED = Kind(
    "session.finished",
    "Session finished",
    "A session ended with a verdict: improved, or the original stands.",
    "ok",
    True,
)
SESSION_FAILED = Kind("session.failed", "Session failed", "A session ended with an error.", "bad", True)
SESSION_UNDECIDED = Kind(
    "session.undecided",
    "Needs a decision",
    "A session could not decide: nothing was measured, or the machine was too busy.",
    "warn",
    True,
)
MODEL_REGRESSED = Kind(
    "model.regressed",
    "Worse than the version before",
    "A promoted version is less accurate or slower than the one that its alias pointed at before.",
    "bad",
    True,
)
MODEL_DECAYED = Kind(
    "model.decayed",
    "Worse than when promoted",
    "A session measured a version behind an alias again, and found it less accurate or slower than when it was made.",
    "bad",
    True,
)
APPROVAL_ASKED = Kind(
    "approval.asked",
    "Approval asked",
    "Somebody wants to move a protected alias, and you can approve or reject it.",
    "warn",
    True,
)
APPROVAL_DECIDED = Kind(
    "approval.decided",
    "Approval decided",
    "Your request to move a protected alias was approved or rejected, or is out of date.",
    mailed=True,
)
COMMENT_MENTIONED = Kind(
    "comment.mentioned", "Mentioned in a comment", "Somebody mentions you in a comment on a session.", mailed=True
)
UPLOAD_REFUSED = Kind("upload.refused", "Upload refused", "A model or data set failed its checks.", "bad", True)
WORKER_LOST = Kind("worker.lost", "Worker lost", "A worker fell silent while it ran a step of a session.", "warn")
QUEUE_SLOW = Kind("queue.slow", "Long wait", "A step of a session has waited long for a worker.", "warn")
SESSION_SLOW = Kind(
    "session.slow",
    "Far slower than predicted",
    "A session has worked for much longer than its plan foresaw.",
    "warn",
)
WORKER_UNSTEADY = Kind(
    "worker.unsteady",
    "A worker measures badly",
    "Operators: on a worker's machine, the original timed against itself differs too much.",
    "warn",
    of_operators=True,
)
BREAKER_OPENED = Kind(
    "breaker.opened",
    "Paused after failures",
    "Operators: a technique or a worker has failed so often in a row that it is paused.",
    "bad",
    True,
    of_operators=True,
)
ROOM_LOW = Kind(
    "room.low",
    "Disk or quota low",
    "The team's quota is nearly used up. Operators: the disk is nearly full.",
    "warn",
    True,
    of_operators=True,
)
BUDGET_SPENT = Kind(
    "budget.spent",
    "Budget spent without a result",
    "A session spent its minutes or candidates, and found nothing better.",
    "warn",
    True,
)
GIVEN_UP = Kind(
    "delivery.given_up",
    "Delivery given up",
    "A message to one of your channels, or to one of the team's, could not be delivered.",
    "bad",
    bell_only=True,
    of_operators=True,
)

KINDS = {
    kind.name: kind
    for kind in (
        SESSION_FINISHED,
        SESSION_UNDECIDED,
        BUDGET_SPENT,
        SESSION_FAILED,
        MODEL_REGRESSED,
        MODEL_DECAYED,
        APPROVAL_ASKED,
        APPROVAL_DECIDED,
        COMMENT_MENTIONED,
        UPLOAD_REFUSED,
        QUEUE_SLOW,
        SESSION_SLOW,
        WORKER_LOST,
        WORKER_UNSTEADY,
        BREAKER_OPENED,
        ROOM_LOW,
        GIVEN_UP,
    )
}
"""All kinds by name, in the order in which pages list them."""
CHOICES = [(kind.name, kind.label) for kind in KINDS.values()]
SENDABLE = tuple(kind.name for kind in KINDS.values() if not kind.bell_only)
"""The kinds that channels other than the bell can carry."""
MAILED = tuple(kind.name for kind in KINDS.values() if kind.mailed)
TEST = "channel.test"
"""The type of the message that the test button sends. It is no kind: nobody can switch it off."""
