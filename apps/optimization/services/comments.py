"""Services for comments on sessions, and for the members that they mention."""

from __future__ import annotations

import re
from collections import defaultdict

from django.db import transaction
from django.utils import timezone

from apps.accounts.models import Role, Team, User
from apps.accounts.services import require_role
from apps.audit import trail
from apps.optimization import events
from apps.optimization.errors.comments import CommentOfAnother
from apps.optimization.models import OptimizationSession, SessionComment
from apps.texts import storable

_MENTION = re.compile(r"(?<![\w.@/])@([\w+-]+(?:\.[\w+-]+)*(?:@[\w-]+(?:\.[\w-]+)+)?)")
"""`@olga`, the part of an address before its @, or `@olga@example.org`."""


@transaction.atomic
def comment_write(session: OptimizationSession, user: User, text: str) -> SessionComment:
    """Adds a comment, and tells whom it mentions. Raises `PermissionDenied` below engineer."""
    require_role(user, session.team, Role.ENGINEER)
    comment = SessionComment.objects.create(session=session, author=user, text=storable(text))
    _record("comment.written", comment, user)
    _tell_mentioned(comment, user)
    events.poke(session)
    return comment


@transaction.atomic
def comment_edit(comment: SessionComment, user: User, text: str) -> SessionComment:
    """Changes one's own comment, and tells those whom it mentions only now.

    Raises `PermissionDenied` below engineer, and `CommentOfAnother`.
    """
    require_own_comment(comment, user)
    comment.text, comment.edited_at = storable(text), timezone.now()
    comment.save(update_fields=["text", "edited_at"])
    _record("comment.edited", comment, user)
    _tell_mentioned(comment, user)
    events.poke(comment.session)
    return comment


@transaction.atomic
def comment_delete(comment: SessionComment, user: User) -> None:
    """Removes one's own comment. Raises as `comment_edit`."""
    require_own_comment(comment, user)
    _record("comment.deleted", comment, user)
    events.poke(comment.session)
    comment.delete()


def mentioned_in(text: str, team: Team) -> list[User]:
    """The members of `team` that `text` mentions, in order. A name that two members share mentions neither."""
    named = list(dict.fromkeys(name.lower() for name in _MENTION.findall(text)))
    if not named:
        return []
    by_name: dict[str, list[User]] = defaultdict(list)
    for member in User.objects.filter(memberships__team=team, is_active=True, service_of=None):
        address = member.email.lower()
        by_name[address].append(member)
        by_name[address.partition("@")[0]].append(member)
    return list(dict.fromkeys(by_name[name][0] for name in named if len(by_name[name]) == 1))


def require_own_comment(comment: SessionComment, user: User) -> None:
    """Raises `PermissionDenied` below engineer, and `CommentOfAnother`."""
    require_role(user, comment.session.team, Role.ENGINEER)
    if comment.author_id != user.pk:
        raise CommentOfAnother()


def _tell_mentioned(comment: SessionComment, user: User) -> None:
    """One event for each member who was not told of this comment before. The funnel makes a notification of it."""
    new = [one for one in mentioned_in(comment.text, comment.session.team) if one.pk not in comment.mentioned]
    if not new:
        return
    comment.mentioned = [*comment.mentioned, *(one.pk for one in new)]
    comment.save(update_fields=["mentioned"])
    for one in new:
        _record("comment.mentioned", comment, user, user=one.pk)


def _record(action: str, comment: SessionComment, by: User, **data: int) -> None:
    """The text stays out of the trail: what is deleted must be gone."""
    subject = str(comment.session.version)
    trail.record(action, actor=by, session=comment.session, subject=subject, data={"comment": comment.pk, **data})
