"""The report as one HTML file that needs nothing else: for the package."""

from __future__ import annotations

from django.template.loader import render_to_string

from apps.optimization.services.report import SessionReport

STANDALONE = "optimization/report_standalone.html"


def report_html(report: SessionReport) -> str:
    """The report as a page that opens anywhere, without a server or a network."""
    return render_to_string(STANDALONE, {"report": report})
