"""Services that share the report of a session by a public link, and that open such a link."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TypeVar

from django.db import transaction
from django.utils import timezone

from apps.accounts import link_tokens
from apps.accounts.models import Role, User
from apps.accounts.services import require_role
from apps.agents.contracts.values import Value
from apps.audit import trail
from apps.optimization.errors.sharing import ReportLinkRevoked, ReportLinksOff, ReportLinkUnusable
from apps.optimization.models import OptimizationSession, PipelineSettings, ReportLink
from apps.optimization.services.report import SessionReport, report

LINK_DAYS = (1, 7, 30, 90)
"""For how long a link may be opened."""
SOMEBODY = "a member"
Line = TypeVar("Line", bound=Value)


@transaction.atomic
def share_report(session: OptimizationSession, user: User, days: int) -> tuple[ReportLink, str]:
    """A new link to the report of `session`, and the token of its address, which is not kept.

    Raises `PermissionDenied` below engineer, `ReportLinksOff`, and `NoReport` before there is a verdict.
    """
    require_role(user, session.team, Role.ENGINEER)
    if not links_are_on():
        raise ReportLinksOff()
    report(session)
    token = link_tokens.new_token()
    link = ReportLink.objects.create(
        session=session,
        token_digest=link_tokens.digest_of(token),
        created_by=user,
        expires_at=timezone.now() + timedelta(days=days),
    )
    data = {"link": link.pk, "days": days, "expires_at": link.expires_at.isoformat(timespec="seconds")}
    trail.record("report.shared", actor=user, session=session, subject=str(session.version), data=data)
    return link, token


@transaction.atomic
def revoke_link(link: ReportLink, user: User) -> None:
    """Closes a link for good. Raises `PermissionDenied` below engineer, and `ReportLinkRevoked` the second time."""
    require_role(user, link.session.team, Role.ENGINEER)
    if not ReportLink.objects.filter(pk=link.pk, revoked_at=None).update(revoked_at=timezone.now()):
        raise ReportLinkRevoked()
    subject = str(link.session.version)
    trail.record("report.link_revoked", actor=user, session=link.session, subject=subject, data={"link": link.pk})


def links_are_on() -> bool:
    """Whether the operators let members share reports."""
    return PipelineSettings.current().public_links


def opened_link(token: str) -> tuple[ReportLink, SessionReport]:
    """The link of this token, with what its readers see of the report. Raises `ReportLinkUnusable`."""
    usable = ReportLink.objects.filter(ReportLink.usable(timezone.now()), token_digest=link_tokens.digest_of(token))
    link = usable.select_related("session__version__model", "session__team").first()
    if link is None or not links_are_on():
        raise ReportLinkUnusable()
    return link, _without_people(report(link.session))


def _without_people(made: SessionReport) -> SessionReport:
    """The report without the names of members, which are the team's own business."""
    return made.model_copy(
        update={
            "decisions": tuple(_by_somebody(made.decisions, "actor")),
            "delivered": tuple(_by_somebody(made.delivered, "by")),
            "requests": tuple(_by_somebody(made.requests, "by")),
        }
    )


def _by_somebody(lines: Sequence[Line], name: str) -> list[Line]:
    """The lines with a word in place of each member's address. Agents and Lathe itself keep their names."""
    return [line.model_copy(update={name: SOMEBODY}) if "@" in getattr(line, name) else line for line in lines]
