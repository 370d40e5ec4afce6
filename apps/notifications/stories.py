"""What members are told of an audit event: the one place that turns actions into notifications."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext_noop as _

from apps.accounts.models import Role
from apps.audit.models import AuditEvent
from apps.notifications import kinds
from apps.notifications.kinds import Kind

IMPROVED = "improved"
COMPARED = {
    "proven": _("{name}: the compared version holds every limit"),
    "violated": _("{name}: the compared version violates a limit"),
}
UNDECIDED = ("not_measured", "inconclusive")
NOBODY = 0
"""The key of no user."""
BUDGET_KEY = "budget"
"""The key of the decision that ended a session's search because its budget was spent."""


@dataclass(frozen=True)
class Story:
    """One notification, not yet written."""

    kind: Kind
    form: str
    """Its title, in English, with places for `values`. It is translated for each reader."""
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
    values: dict[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """In English, for whoever is not a reader: webhooks, chats, the API."""
        return self.form.format(**self.values)


def story_of(event: AuditEvent) -> Story | None:
    """What to tell of `event`; `None` for the events that nobody needs to be told of."""
    tell = _STORIES.get(event.action)
    return tell(event) if tell else None


def _completed(event: AuditEvent) -> Story:
    outcome = event.data.get("outcome", "")
    if outcome == IMPROVED:
        return _of_session(event, kinds.SESSION_FINISHED, _("{name}: a better model was found"))
    if outcome in COMPARED:
        return _of_session(event, kinds.SESSION_FINISHED, COMPARED[outcome])
    if outcome in UNDECIDED:
        return _of_session(event, kinds.SESSION_UNDECIDED, _("{name}: the session needs a decision"))
    if AuditEvent.objects.filter(session=event.session_id, key=BUDGET_KEY).exists():
        return _of_session(event, kinds.BUDGET_SPENT, _("{name}: the budget is spent without a result"))
    return _of_session(event, kinds.SESSION_FINISHED, _("{name}: the original stands"))


def _failed(event: AuditEvent) -> Story:
    return _of_session(event, kinds.SESSION_FAILED, _("{name}: the session failed"))


def _started(event: AuditEvent) -> Story:
    return _brief(event, kinds.SESSION_STARTED, _("{name}: the session was started"))


def _resumed(event: AuditEvent) -> Story:
    return _brief(event, kinds.SESSION_RESUMED, _("{name}: the session goes on"))


def _cancelled(event: AuditEvent) -> Story:
    session: Any = event.session
    ended, only_asked = (
        _("{name}: the session was cancelled"),
        _("{name}: the request for another candidate was cancelled"),
    )
    return _brief(event, kinds.SESSION_CANCELLED, ended if session.verdict is None else only_asked)


def _brief(event: AuditEvent, kind: Kind, form: str) -> Story:
    """Of a session, without what its event keeps as evidence, such as all of its criteria."""
    story = _of_session(event, kind, form)
    return replace(story, data={"session": story.data["session"]})


def _promoted(event: AuditEvent) -> Story:
    return _with_alias(event, kinds.SESSION_PROMOTED, _("{subject} was promoted to {alias}"))


def _rolled_back(event: AuditEvent) -> Story:
    form = _("{subject}: the promotion to {alias} was rolled back")
    return _with_alias(event, kinds.PROMOTION_ROLLED_BACK, form)


def _with_alias(event: AuditEvent, kind: Kind, form: str) -> Story:
    story = _of_session(event, kind, form)
    return replace(story, values={**story.values, "alias": event.data["alias"]})


def _moved(event: AuditEvent) -> Story:
    return _of_alias(event, kinds.ALIAS_MOVED, _("{subject} points at v{to}"))


def _moved_back(event: AuditEvent) -> Story:
    return _of_alias(event, kinds.ALIAS_MOVED_BACK, _("{subject} points at v{to} again"))


def _of_alias(event: AuditEvent, kind: Kind, form: str) -> Story:
    path = reverse("models:model-detail", args=[event.data["model"]])
    values = {"subject": event.subject, "to": str(event.data["to"])}
    return Story(kind, form, event.reason, path, data=dict(event.data), values=values)


def _added(event: AuditEvent) -> Story:
    return _of_upload(event, kinds.VERSION_ADDED, _("{subject} was added"))


def _ready(event: AuditEvent) -> Story:
    return _of_upload(event, kinds.UPLOAD_READY, _("{subject} is ready"))


def _regressed(event: AuditEvent) -> Story:
    return _of_session(event, kinds.MODEL_REGRESSED, _("{subject}: worse than the version before"))


def _decayed(event: AuditEvent) -> Story:
    return _of_session(event, kinds.MODEL_DECAYED, _("{subject}: worse than when it was promoted"))


def _worker_lost(event: AuditEvent) -> Story:
    return _of_session(event, kinds.WORKER_LOST, _("The worker {subject} was lost"))


def _check_worker_lost(event: AuditEvent) -> Story:
    return _of_upload(event, kinds.WORKER_LOST, _("The worker that checked {subject} was lost"))


def _check_waits(event: AuditEvent) -> Story:
    return _of_upload(event, kinds.QUEUE_SLOW, _("{subject}: the check waits for a worker"))


def _queue_slow(event: AuditEvent) -> Story:
    return _of_session(event, kinds.QUEUE_SLOW, _("{name}: the session waits for a worker"))


def _session_slow(event: AuditEvent) -> Story:
    return _of_session(event, kinds.SESSION_SLOW, _("{name}: the session is far slower than predicted"))


def _worker_unsteady(event: AuditEvent) -> Story:
    return _of_worker(event, kinds.WORKER_UNSTEADY, _("{subject} measures badly"))


def _breaker_opened(event: AuditEvent) -> Story:
    return _of_worker(event, kinds.BREAKER_OPENED, _("{subject} is paused"))


def _of_worker(event: AuditEvent, kind: Kind, form: str) -> Story:
    path, values = reverse("optimization:workers"), {"subject": event.subject}
    return Story(kind, form, event.reason, path, data=dict(event.data), values=values)


def _of_session(event: AuditEvent, kind: Kind, form: str) -> Story:
    session: Any = event.session  # these actions always have one
    return Story(
        kind,
        form,
        event.reason,
        reverse("optimization:session-detail", args=[session.pk]),
        concerns=session.created_by_id,
        data={"session": str(session.pk), **event.data},
        values={"name": str(session.version), "subject": event.subject},
    )


def _refused(event: AuditEvent) -> Story:
    return _of_upload(event, kinds.UPLOAD_REFUSED, _("{subject} was refused"))


def _of_upload(event: AuditEvent, kind: Kind, form: str) -> Story:
    return Story(
        kind,
        form,
        event.reason,
        event.data.get("path", ""),
        concerns=event.data.get("user"),
        data={name: value for name, value in event.data.items() if name not in ("user", "path")},
        values={"subject": event.subject},
    )


def _room_low(event: AuditEvent) -> Story:
    path = reverse("optimization:storage") if event.team_id else ""
    values = {"subject": event.subject}
    return Story(kinds.ROOM_LOW, "{subject}", event.reason, path, data=dict(event.data), values=values)


def _given_up(event: AuditEvent) -> Story:
    user = event.data.get("user")
    return Story(
        kinds.GIVEN_UP,
        _("{subject}: a message could not be delivered"),
        event.reason,
        reverse("notifications:channel", args=[event.data["channel"]]),
        concerns=user,
        only=user,
        roles=tuple(Role) if user else (Role.OWNER,),
        data=dict(event.data),
        values={"subject": event.subject},
    )


def _asked(event: AuditEvent) -> Story:
    back, on = _("{subject}: {actor} asks to move back to v{to}"), _("{subject}: {actor} asks to move to v{to}")
    return Story(
        kinds.APPROVAL_ASKED,
        back if event.data["rolls_back"] else on,
        event.reason,
        reverse("models:approval-list"),
        roles=(Role.ENGINEER, Role.OWNER),
        but=event.data["user"],
        data=_of_request(event),
        values={"subject": event.subject, "actor": event.actor, "to": str(event.data["to"])},
    )


_DECIDED = {
    "approved": _("{subject}: the move to v{to} is approved"),
    "rejected": _("{subject}: the move to v{to} is rejected"),
    "stale": _("{subject}: the move to v{to} is out of date"),
}


def _decided(event: AuditEvent) -> Story:
    decision, person = event.action.removeprefix("alias.request_"), event.data["user"]
    return Story(
        kinds.APPROVAL_DECIDED,
        _DECIDED[decision],
        event.reason,
        reverse("models:approval-list"),
        concerns=person,
        only=person or NOBODY,
        data={**_of_request(event), "decision": "out of date" if decision == "stale" else decision},
        values={"subject": event.subject, "to": str(event.data["to"])},
    )


def _mentioned(event: AuditEvent) -> Story:
    session = reverse("optimization:session-detail", args=[event.session_id])
    person, comment = event.data["user"], event.data["comment"]
    return Story(
        kinds.COMMENT_MENTIONED,
        _("{subject}: {actor} mentions you in a comment"),
        path=f"{session}#comment-{comment}",
        concerns=person,
        only=person,
        data={"session": str(event.session_id), "comment": comment},
        values={"subject": event.subject, "actor": event.actor},
    )


def _of_request(event: AuditEvent) -> dict[str, Any]:
    return {name: value for name, value in event.data.items() if name != "user"}


_STORIES: dict[str, Callable[[AuditEvent], Story]] = {
    "session.started": _started,
    "session.resumed": _resumed,
    "session.cancelled": _cancelled,
    "session.promoted": _promoted,
    "session.promotion_rolled_back": _rolled_back,
    "alias.moved": _moved,
    "alias.moved_back": _moved_back,
    "version.added": _added,
    "upload.ready": _ready,
    "session.completed": _completed,
    "session.failed": _failed,
    "session.regressed": _regressed,
    "model.decayed": _decayed,
    "session.waits_long": _queue_slow,
    "session.slow": _session_slow,
    "worker.lost": _worker_lost,
    "check.waits_long": _check_waits,
    "check.worker_lost": _check_worker_lost,
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
