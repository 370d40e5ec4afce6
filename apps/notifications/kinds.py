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
    of_teams: bool = True
    """Whether it may concern a team."""
    by_default: bool = True
    """Whether bells and new channels carry it before anybody has chosen."""


SESSION_STARTED = Kind("session.started", _("Session started"), _("A session was started."), by_default=False)
SESSION_RESUMED = Kind(
    "session.resumed", _("Session resumed"), _("A failed or cancelled session goes on."), by_default=False
)
SESSION_CANCELLED = Kind(
    "session.cancelled",
    _("Session cancelled"),
    _("A session was cancelled, or the request for another of its candidates."),
    by_default=False,
)
SESSION_PROMOTED = Kind(
    "session.promoted",
    _("Session promoted"),
    _("An alias points at the version that a session made."),
    "ok",
    by_default=False,
)
PROMOTION_ROLLED_BACK = Kind(
    "session.promotion_rolled_back",
    _("Promotion rolled back"),
    _("An alias points again at the version before a session's promotion."),
    "warn",
    by_default=False,
)
ALIAS_MOVED = Kind(
    "alias.moved", _("Alias moved"), _("An alias is new, or points at another version."), by_default=False
)
ALIAS_MOVED_BACK = Kind(
    "alias.moved_back", _("Alias moved back"), _("The last move of an alias was undone."), "warn", by_default=False
)
VERSION_ADDED = Kind(
    "version.added", _("Version added"), _("A version of a model was uploaded. Its checks follow."), by_default=False
)
UPLOAD_READY = Kind(
    "upload.ready", _("Upload ready"), _("A model or data set has passed its checks."), "ok", by_default=False
)
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
WORKER_LOST = Kind(
    "worker.lost",
    _("Worker lost"),
    _("A worker fell silent during a step of a session, or the check of an upload."),
    "warn",
)
QUEUE_SLOW = Kind(
    "queue.slow",
    _("Long wait"),
    _("A step of a session, or the check of an upload, has waited long for a worker."),
    "warn",
)
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
    of_teams=False,
)
BREAKER_OPENED = Kind(
    "breaker.opened",
    _("Paused after failures"),
    _("Operators: a technique or a worker has failed so often in a row that it is paused."),
    "bad",
    True,
    of_operators=True,
    of_teams=False,
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
        SESSION_STARTED,
        SESSION_RESUMED,
        SESSION_CANCELLED,
        SESSION_FINISHED,
        SESSION_UNDECIDED,
        BUDGET_SPENT,
        SESSION_FAILED,
        SESSION_PROMOTED,
        PROMOTION_ROLLED_BACK,
        ALIAS_MOVED,
        ALIAS_MOVED_BACK,
        MODEL_REGRESSED,
        MODEL_DECAYED,
        APPROVAL_ASKED,
        APPROVAL_DECIDED,
        COMMENT_MENTIONED,
        VERSION_ADDED,
        UPLOAD_READY,
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
MAILED = tuple(kind.name for kind in KINDS.values() if kind.mailed)
TEST = "channel.test"
"""The type of the message that the test button sends. It is not a kind: nobody can switch it off."""


def offered(*, installation: bool, bell: bool = False) -> tuple[str, ...]:
    """The kinds that a channel about a team, or about the installation, can carry."""
    return tuple(
        kind.name
        for kind in KINDS.values()
        if (kind.of_operators if installation else kind.of_teams) and (bell or not kind.bell_only)
    )


def preset(*, installation: bool, bell: bool = False) -> tuple[str, ...]:
    """Those of the offered kinds that it carries before anybody has chosen."""
    return tuple(name for name in offered(installation=installation, bell=bell) if KINDS[name].by_default)
