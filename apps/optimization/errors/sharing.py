"""Public links to reports."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from apps.errors import UserError


class ReportLinksOff(UserError):
    code = "report.links_off"
    status = 403
    sentence = _(
        "The operators of this installation have switched public links to reports off. Share the file instead."
    )


class ReportLinkRevoked(UserError):
    code = "report.link_revoked"
    status = 409
    sentence = _("This link was revoked already, so nobody can open it.")


class ReportLinkUnusable(UserError):
    code = "report.link_unusable"
    status = 404
    sentence = _(
        "This link opens no report: it has expired, was revoked, or is incomplete. Ask whoever sent it for a new one."
    )
