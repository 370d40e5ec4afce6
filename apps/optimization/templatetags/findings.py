"""What sessions found out about a version, for the model store's page of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from django import template

from apps.accounts.models import User
from apps.agents.contracts.reports import analysis as reports
from apps.models.models import ModelVersion
from apps.optimization.models import AnalysisReport, OptimizationSession
from apps.optimization.side_by_side.trends import Line, Trend, lines_of, trend_over
from apps.optimization.side_by_side.version_readings import row_id
from apps.optimization.waiting import Wait, waits_of

register = template.Library()

RECENT = 10


@dataclass(frozen=True)
class Trended:
    """A model over its versions, and the pictures of that."""

    trend: Trend
    lines: list[Line]


@register.simple_tag
def trend_about(versions: Sequence[ModelVersion], dataset: str) -> Trended:
    """The trend over versions, the newest first, that are visible to the member; on the data set with this id."""
    trend = trend_over(versions, row_id(dataset))
    return Trended(trend, lines_of(trend))


@dataclass(frozen=True)
class Findings:
    sessions: list[OptimizationSession]
    """The newest sessions that started from the version."""
    waits: Mapping[UUID, Wait]
    """Of those of them that wait."""
    analysis: reports.AnalysisReport | None
    """The newest analysis of it."""


@register.simple_tag
def findings_about(version: ModelVersion, user: User) -> Findings:
    sessions = OptimizationSession.objects.visible_to(user).filter(version=version)
    analyses = AnalysisReport.objects.visible_to(user).filter(session__version=version).select_related("step")
    newest = analyses.order_by("-created_at").first()
    rows = list(
        sessions.select_related("version__model", "compared__model", "dataset").order_by("-created_at")[:RECENT]
    )
    return Findings(
        sessions=rows,
        waits=waits_of(rows),
        analysis=reports.AnalysisReport.model_validate(newest.body) if newest else None,
    )
