"""A session's life: moves that are refused, and its deletion."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from apps.errors import UserError
from apps.optimization.errors.worded import Worded


class SessionMoveRefused(Worded):
    WORDS = ("status", "move")
    code = "session.move_refused"
    status = 409
    sentence = _("The session is {status}, so it cannot {move}.")


class SessionDeleted(UserError):
    code = "session.deleted"
    status = 410
    sentence = _(
        "This session was deleted on {day} by {actor}. Its promoted versions and its audit events are still there."
    )
