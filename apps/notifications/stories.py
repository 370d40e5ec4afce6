"""What members are told of an audit event: the one place that turns actions into notifications."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.urls import reverse

from apps.accounts.models import Role
from apps.audit.models import AuditEvent
from apps.notifications import kinds
from apps.notifications.kinds import Kind

IMPROVED = "improved"
COMPARED = {"proven": "the compared version holds every limit", "violated": "the compared version violates a limit"}
UNDECIDED = ("not_measured", "inconclusive")
NOBODY = 0
"""The key of no user."""
BUDGET_KEY = "budget"
"""The key of the decision that ended a session's search because its budget was spent."""


@dataclass(frozen=True)
class Story:
    """One notification, not yet written."""

    kind: Kind
    title: str
    text: str = ""
    path: str = ""
    concerns: int | None = None
    """The user whose session or upload it is."""
    only: int | None = None
    """The only user it is for, if it is nobody else's business."""
    roles: tuple[Role, ...] = tuple(Role)
    """Of the team's members, those with one of these roles."""
    but: int | None = None
    """A user who is not told, although they did not do it themselves."""
    data: dict[str, Any] = field(default_factory=dict)


def story_of(event: AuditEvent) -> Story | None:
    """What to tell of `event`; `None` for the events that nobody needs to be told of."""
    tell = _STORIES.get(event.action)
    return tell(event) if tell else None


def _completed(event: AuditEvent) -> Story:
    outcome = event.data.get("outcome", "")
    if outcome == IMPROVED:
        return _of_session(event, kinds.SESSION_FINISHED, "{name}: a better model was found")
    if outcome in COMPARED:
        return _of_session(event, kinds.SESSION_FINISHED, f"{{name}}: {COMPARED[outcome]}")
    if AuditEvent.objects.filter(session=event.session_id, key=BUDGET_KEY).exists():
        return _of_session(event, kinds.BUDGET_SPENT, "{name}: the budget is spent without a result")
    if outcome in UNDECIDED:
        return _of_session(event, kinds.SESSION_UNDECIDED, "{name}: the session needs a decision")
    return _of_session(event, kinds.SESSION_FINISHED, "{name}: the original stands")


def _failed(event: AuditEvent) -> Story:
    return _of_session(event, kinds.SESSION_FAILED, "{name}: the session failed")


def _regressed(event: AuditEvent) -> Story:
    return _of_session(event, kinds.MODEL_REGRESSED, f"{event.subject}: worse than the version before")


def _decayed(event: AuditEvent) -> Story:
    return _of_session(event, kinds.MODEL_DECAYED, f"{event.subject}: worse than when it was promoted")


def _worker_lost(event: AuditEvent) -> Story:
    return _of_session(event, kinds.WORKER_LOST, f"The worker {event.subject} was lost")


def _queue_slow(event: AuditEvent) -> Story:
    return _of_session(event, kinds.QUEUE_SLOW, "{name}: the session waits for a worker")


def _session_slow(event: AuditEvent) -> Story:
    return _of_session(event, kinds.SESSION_SLOW, "{name}: the session is far slower than predicted")


def _worker_unsteady(event: AuditEvent) -> Story:
    path = reverse("optimization:workers")
    return Story(kinds.WORKER_UNSTEADY, f"{event.subject} measures badly", event.reason, path, data=dict(event.data))


def _breaker_opened(event: AuditEvent) -> Story:
    path = reverse("optimization:workers")
    return Story(kinds.BREAKER_OPENED, f"{event.subject} is paused", event.reason, path, data=dict(event.data))


def _of_session(event: AuditEvent, kind: Kind, title: str) -> Story:
    session: Any = event.session  # these actions always have one
    return Story(
        kind,
        title.format(name=session.version),
        event.reason,
        reverse("optimization:session-detail", args=[session.pk]),
        concerns=session.created_by_id,
        data={"session": str(session.pk), **event.data},
    )


def _refused(event: AuditEvent) -> Story:
    return Story(
        kinds.UPLOAD_REFUSED,
        f"{event.subject} was refused",
        event.reason,
        event.data.get("path", ""),
        concerns=event.data.get("user"),
        data={name: value for name, value in event.data.items() if name not in ("user", "path")},
    )


def _room_low(event: AuditEvent) -> Story:
    path = reverse("optimization:storage") if event.team_id else ""
    return Story(kinds.ROOM_LOW, event.subject, event.reason, path, data=dict(event.data))


def _given_up(event: AuditEvent) -> Story:
    user = event.data.get("user")
    return Story(
        kinds.GIVEN_UP,
        f"{event.subject}: a message could not be delivered",
        event.reason,
        reverse("notifications:channel", args=[event.data["channel"]]),
        concerns=user,
        only=user,
        roles=tuple(Role) if user else (Role.OWNER,),
        data=dict(event.data),
    )


def _asked(event: AuditEvent) -> Story:
    what = "move back to" if event.data["rolls_back"] else "move to"
    return Story(
        kinds.APPROVAL_ASKED,
        f"{event.subject}: {event.actor} asks to {what} v{event.data['to']}",
        event.reason,
        reverse("models:approval-list"),
        roles=(Role.ENGINEER, Role.OWNER),
        but=event.data["user"],
        data=_of_request(event),
    )


def _decided(event: AuditEvent) -> Story:
    ends = {"request_approved": "approved", "request_rejected": "rejected", "request_stale": "out of date"}
    person = event.data["user"]
    return Story(
        kinds.APPROVAL_DECIDED,
        f"{event.subject}: the move to v{event.data['to']} is {ends[event.action.removeprefix('alias.')]}",
        event.reason,
        reverse("models:approval-list"),
        concerns=person,
        only=person or NOBODY,
        data={**_of_request(event), "decision": ends[event.action.removeprefix("alias.")]},
    )


def _mentioned(event: AuditEvent) -> Story:
    session = reverse("optimization:session-detail", args=[event.session_id])
    person, comment = event.data["user"], event.data["comment"]
    return Story(
        kinds.COMMENT_MENTIONED,
        f"{event.subject}: {event.actor} mentions you in a comment",
        path=f"{session}#comment-{comment}",
        concerns=person,
        only=person,
        data={"session": str(event.session_id), "comment": comment},
    )


def _of_request(event: AuditEvent) -> dict[str, Any]:
    return {name: value for name, value in event.data.items() if name != "user"}


_STORIES: dict[str, Callable[[AuditEvent], Story]] = {
    "session.completed": _completed,
    "session.failed": _failed,
    "session.regressed": _regressed,
    "model.decayed": _decayed,
    "session.waits_long": _queue_slow,
    "session.slow": _session_slow,
    "worker.lost": _worker_lost,
    "worker.unsteady": _worker_unsteady,
    "breaker.opened": _breaker_opened,
    "alias.approval_asked": _asked,
    "alias.request_approved": _decided,
    "alias.request_rejected": _decided,
    "alias.request_stale": _decided,
    "comment.mentioned": _mentioned,
    "upload.refused": _refused,
    "room.low": _room_low,
    "notification.given_up": _given_up,
}
ACTIONS = frozenset(_STORIES)
"""The actions of the audit trail that members are told of."""
