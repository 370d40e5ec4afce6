"""What can be done to several sessions or templates at once. Each is checked and recorded as if it were alone."""

from __future__ import annotations

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from apps.bulk import Act
from apps.languages import within_a_sentence
from apps.optimization.models import OptimizationSession, SessionTemplate
from apps.optimization.services.lifecycle import session_cancel, session_resume
from apps.optimization.services.removal import session_delete
from apps.optimization.services.templates import template_delete


def _status(session: OptimizationSession) -> str:
    return within_a_sentence(session.get_status_display())


def _not_cancellable(session: OptimizationSession) -> str:
    return "" if session.is_active else gettext("It has ended: {status}.").format(status=_status(session))


def _not_resumable(session: OptimizationSession) -> str:
    if session.is_resumable:
        return ""
    sentence = gettext("It is {status}. Only failed and cancelled sessions can be resumed.")
    return sentence.format(status=_status(session))


def _not_deletable(session: OptimizationSession) -> str:
    sentence = gettext("It is {status}. Cancel it first.")
    return sentence.format(status=_status(session)) if session.is_active else ""


SESSION_ACTS: dict[str, Act[OptimizationSession]] = {
    act.name: act
    for act in (
        Act(
            "cancel",
            _("Cancel"),
            _("being cancelled"),
            _("No further step starts, and running ones stop. Results measured so far remain."),
            _not_cancellable,
            session_cancel,
        ),
        Act(
            "resume",
            _("Resume"),
            _("resumed"),
            _("Completed steps stay, and what failed or was stopped is repeated."),
            _not_resumable,
            session_resume,
        ),
        Act(
            "delete",
            _("Delete"),
            _("deleted"),
            _("Reports, log and files go for good. Promoted versions and the audit trail stay."),
            _not_deletable,
            session_delete,
            danger=True,
        ),
    )
}
TEMPLATE_ACTS: dict[str, Act[SessionTemplate]] = {
    "delete": Act(
        "delete",
        _("Delete"),
        _("deleted"),
        _("The settings go for good. Sessions that started from them stay."),
        lambda template: "",
        template_delete,
        danger=True,
    )
}
