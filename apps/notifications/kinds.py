"""The kinds of notification: one table, which forms, pages, the API and the docs read."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True)
class Kind:
    """Something that members can be told about."""

    name: str
    """Stable, dotted; the `type` of a webhook's message."""
    label: Promise
    help: Promise
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
    _("Session finished"),
    _("A session ended with a verdict: improved, or the original stands."),
    "ok",
    True,
)
SESSION_FAILED = Kind("session.failed", _("Session failed"), _("A session ended with an error."), "bad", True)
SESSION_UNDECIDED = Kind(
    "session.undecided",
    _("Needs a decision"),
    _("A session could not decide: nothing was measured, or the machine was too busy."),
    "warn",
    True,
)
MODEL_REGRESSED = Kind(
    "model.regressed",
    _("Worse than the version before"),
    _("A promoted version is less accurate or slower than the one that its alias pointed at before."),
    "bad",
    True,
)
MODEL_DECAYED = Kind(
    "model.decayed",
    _("Worse than when promoted"),
    _(
        "A session measured a version behind an alias again, and found it less accurate or slower than when it was "
        "made."
    ),
    "bad",
    True,
)
APPROVAL_ASKED = Kind(
    "approval.asked",
    _("Approval asked"),
    _("Somebody wants to move a protected alias, and you can approve or reject it."),
    "warn",
    True,
)
APPROVAL_DECIDED = Kind(
    "approval.decided",
    _("Approval decided"),
    _("Your request to move a protected alias was approved or rejected, or is out of date."),
    mailed=True,
)
COMMENT_MENTIONED = Kind(
    "comment.mentioned", _("Mentioned in a comment"), _("Somebody mentions you in a comment on a session."), mailed=True
)
UPLOAD_REFUSED = Kind("upload.refused", _("Upload refused"), _("A model or data set failed its checks."), "bad", True)
WORKER_LOST = Kind("worker.lost", _("Worker lost"), _("A worker fell silent while it ran a step of a session."), "warn")
QUEUE_SLOW = Kind("queue.slow", _("Long wait"), _("A step of a session has waited long for a worker."), "warn")
SESSION_SLOW = Kind(
    "session.slow",
    _("Far slower than predicted"),
    _("A session has worked for much longer than its plan foresaw."),
    "warn",
)
WORKER_UNSTEADY = Kind(
    "worker.unsteady",
    _("A worker measures badly"),
    _("Operators: on a worker's machine, the original timed against itself differs too much."),
    "warn",
    of_operators=True,
)
BREAKER_OPENED = Kind(
    "breaker.opened",
    _("Paused after failures"),
    _("Operators: a technique or a worker has failed so often in a row that it is paused."),
    "bad",
    True,
    of_operators=True,
)
ROOM_LOW = Kind(
    "room.low",
    _("Disk or quota low"),
    _("The team's quota is nearly used up. Operators: the disk is nearly full."),
    "warn",
    True,
    of_operators=True,
)
BUDGET_SPENT = Kind(
    "budget.spent",
    _("Budget spent without a result"),
    _("A session spent its minutes or candidates, and found nothing better."),
    "warn",
    True,
)
GIVEN_UP = Kind(
    "delivery.given_up",
    _("Delivery given up"),
    _("A message to one of your channels, or to one of the team's, could not be delivered."),
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
