"""The report as one self-contained HTML file, for the package."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from django.contrib.staticfiles import finders
from django.template.loader import render_to_string
from django.utils.safestring import mark_safe

from apps.languages import in_english
from apps.optimization.services.report import SessionReport

STANDALONE = "optimization/report_standalone.html"


def report_html(report: SessionReport) -> str:
    """The report as a page in the portal's style that opens anywhere, without a server or a network.

    It is a record, so it is in English, whoever asked for it.
    """
    with in_english():
        return render_to_string(STANDALONE, {"report": report, "stylesheet": _stylesheet()})


@cache
def _stylesheet() -> str:
    path = finders.find("lathe.css")
    if path is None:
        raise FileNotFoundError("lathe.css is missing from the static files")
    return mark_safe(Path(path).read_text())  # noqa: S308  our own file
