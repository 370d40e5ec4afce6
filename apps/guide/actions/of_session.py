"""What a member can do with a session. What asks for nothing comes first, and what deletes comes last."""

from __future__ import annotations

from collections.abc import Iterator

from django.urls import reverse
from django.utils.translation import gettext

from apps.guide.actions.action import Action
from apps.models.services import can_undo
from apps.optimization.models import OptimizationSession
from apps.optimization.services.promotion import PRODUCTION

REPORT = "optimization:report"


def of_session(session: OptimizationSession, view: str, *, may_write: bool) -> Iterator[Action]:
    """What can be done on the page `view` of `session`, in its present state."""
    if session.verdict and view != REPORT:
        yield Action(gettext("Read the report"), gettext("Of this session"), _address(session, "report"))
    if not may_write:
        return
    yield Action(gettext("Again with…"), gettext("The same request, to change any of it"), session.again_path)
    yield from _of_result(session)
    yield from _of_course(session)


def _of_result(session: OptimizationSession) -> Iterator[Action]:
    held = session.result_version.aliases.select_related("version") if session.result_version else ()
    if session.is_promotable and PRODUCTION not in [alias.name for alias in held]:
        yield Action(
            gettext("Promote to {alias}").format(alias=PRODUCTION),
            gettext("The artifact becomes a version, and the alias moves to it"),
            _address(session, "session-promote"),
            posts=True,
            name="alias",
            value=PRODUCTION,
            question=gettext("Move “{alias}” of {model} to the artifact of this session?").format(
                alias=PRODUCTION, model=session.version.model.name
            ),
        )
    for alias in held:
        if can_undo(alias):
            title = gettext("Roll back {alias}").format(alias=alias.name)
            yield Action(title, gettext("Asks for the reason"), f"{_address(session, 'report')}#roll-back-{alias.pk}")


def _of_course(session: OptimizationSession) -> Iterator[Action]:
    if session.is_resumable:
        hint = gettext("Keep the completed steps and repeat the rest")
        yield _button(session, "session-resume", gettext("Resume this session"), hint)
    if session.is_worth_another_try:
        hint = gettext("Run the same request as a new session")
        yield _button(session, "session-retry", gettext("Start this session over"), hint)
    if session.is_cancellable:
        question = gettext("Stop this session? Results measured so far remain available.")
        yield _button(session, "session-cancel", gettext("Cancel this session"), gettext("Its steps stop"), question)
    if not session.is_active:
        question = gettext("Delete this session, its reports and its files? Promoted versions stay.")
        hint = gettext("With its reports and files")
        yield _button(session, "session-delete", gettext("Delete this session"), hint, question)


def _button(session: OptimizationSession, view: str, title: str, hint: str, question: str = "") -> Action:
    return Action(title, hint, _address(session, view), posts=True, question=question)


def _address(session: OptimizationSession, view: str) -> str:
    return reverse(f"optimization:{view}", args=[session.pk])
