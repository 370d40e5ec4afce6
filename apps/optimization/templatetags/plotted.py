"""The plots of a report, for the templates that draw them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import template

from apps.agents.contracts.reports.analysis import AnalysisReport
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.optimization import plots, ranks, searches, widths
from apps.optimization.curves import Chart, Curves
from apps.optimization.fronts import Scatter
from apps.optimization.services.report import SessionReport

register = template.Library()


@register.filter
def blocks_plot(evaluation: EvaluationReport) -> plots.Blocks:
    return plots.blocks(evaluation)


@register.filter
def classes_plot(evaluation: EvaluationReport) -> plots.ClassBars:
    return plots.classes(evaluation)


@register.filter
def layers_plot(analysis: AnalysisReport) -> plots.LayerBars | None:
    return plots.layers(analysis)


@register.filter
def chart(curves: Curves) -> Chart:
    return Chart(curves)


@register.filter
def scatter(report: SessionReport) -> Scatter:
    """The front of a report as a picture."""
    measured = next((one.evaluation for one in report.candidates if one.evaluation), None)
    return Scatter(report.front, report.criteria, measured.primary.label if measured else "metric")


@register.filter
def unlocalized(value: float) -> str:
    """A number for an attribute, whatever the language of the page."""
    return f"{value:g}"


@register.filter
def cut_shown(evidence: Mapping[str, Any]) -> widths.Cut:
    return widths.cut_of(evidence)


@register.filter
def beside_cut(evidence: Mapping[str, Any]) -> dict[str, Any]:
    return widths.beside_cut(evidence)


@register.filter
def ranks_shown(evidence: Mapping[str, Any]) -> ranks.Ranks:
    return ranks.ranks_of(evidence)


@register.filter
def beside_ranks(evidence: Mapping[str, Any]) -> dict[str, Any]:
    return ranks.beside_ranks(evidence)


@register.filter
def training_curves(curves: Curves) -> Curves:
    """Those that are drawn as lines: all but the trials of a search."""
    return searches.beside_trials(curves)


@register.filter
def trials_live(curves: Curves) -> searches.Trials:
    return searches.trials_of_curves(curves)


@register.filter
def search_shown(evidence: Mapping[str, Any]) -> searches.Search | None:
    return searches.search_of(evidence)


@register.filter
def beside_search(evidence: Mapping[str, Any]) -> dict[str, Any]:
    return searches.beside_search(evidence)
