"""Comments on sessions."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from apps.errors import UserError


class CommentOfAnother(UserError):
    code = "comment.of_another"
    status = 403
    sentence = _("Somebody else wrote this comment, and only they can change or delete it. Write one of your own.")
