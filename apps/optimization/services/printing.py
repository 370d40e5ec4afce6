"""The report of a session as a PDF for paper, which a process of its own makes (`apps/printing`)."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from base64 import b64decode, b64encode
from threading import BoundedSemaphore

from django.core.cache import cache
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from apps.agents.contracts.reports.front import ORIGINAL_POINT
from apps.models.intake import safe_filename
from apps.optimization.errors.results import NotPrinted
from apps.optimization.services.report import CandidateReport, SessionReport

TEMPLATE = "optimization/report_print.html"
MOST_CANDIDATES, MOST_DETAILED, MOST_DECISIONS = 40, 6, 100
"""How many candidates a PDF lists, of how many it has all numbers, and how many decisions it has."""
MOST_S = 20.0
"""How long a PDF may take to make, and how long to wait for those before it."""
KEPT_S = 600
"""How long one that was made is kept, in case it is asked for again."""
_AT_ONCE = BoundedSemaphore(2)
"""Each takes a core, and up to 100 MB while it is made."""


def report_pdf(report: SessionReport, address: str | None = None) -> bytes:
    """A report as a PDF, in the language and the time zone of whoever asks, with a link to its page at `address`.

    The same report asked for in the same way makes the same bytes. Long ones are shortened, and say so. Raises
    `NotPrinted` if it was not made in time.
    """
    shown, left_out = shortened(report)
    html = render_to_string(TEMPLATE, {"report": shown, "left_out": left_out, "address": address, **_detailed(shown)})
    key = f"report-pdf:{hashlib.sha256(html.encode()).hexdigest()}"
    kept: str | None = cache.get(key)
    if kept is not None:
        return b64decode(kept)
    made = _printed(html)
    cache.set(key, b64encode(made).decode(), KEPT_S)  # A cache in Redis holds JSON, which has no bytes.
    return made


def _printed(html: str) -> bytes:
    if not _AT_ONCE.acquire(timeout=MOST_S):
        raise NotPrinted(seconds=round(MOST_S))
    try:
        done = subprocess.run(
            [sys.executable, "-m", "apps.printing"],
            input=html.encode(),
            capture_output=True,
            env={"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "0", "LANG": "C.UTF-8"},
            timeout=MOST_S,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise NotPrinted(seconds=round(MOST_S)) from late
    finally:
        _AT_ONCE.release()
    if done.returncode:
        raise RuntimeError(f"A report was not printed: {done.stderr.decode(errors='replace')}")
    return done.stdout


def pdf_name(report: SessionReport) -> str:
    """The name of the file: `report-tiny-cnn-v1-0b2c6f1e.pdf`."""
    return safe_filename(f"report-{report.model}-{report.session.hex[:8]}.pdf".replace(" ", "-"))


def shortened(report: SessionReport) -> tuple[SessionReport, tuple[str, ...]]:
    """The report with as much as a PDF shows, and sentences about what was left out.

    Candidates are chosen by what they are to the decision, and stay in the order of the plan.
    """
    kept = {one.key for one in sorted(report.candidates, key=lambda one: _weight(report, one))[:MOST_CANDIDATES]}
    sentences = []
    if len(kept) < len(report.candidates):
        sentences.append(
            _(
                "{shown} of {all} candidates are shown: the delivered one, those that were accepted and those on the "
                "front come first. The portal and the API have all."
            ).format(shown=len(kept), all=len(report.candidates))
        )
    measured = sum(one.key in kept for one in report.others)
    if measured > MOST_DETAILED:
        sentences.append(
            _(
                "All numbers of {shown} of the {all} other candidates are shown; the portal and the API have the rest."
            ).format(shown=MOST_DETAILED, all=measured)
        )
    if len(report.decisions) > MOST_DECISIONS:
        sentences.append(
            _("The first {shown} of {all} decisions are shown; the portal and the API have all.").format(
                shown=MOST_DECISIONS, all=len(report.decisions)
            )
        )
    return report.model_copy(update=_parts(report, kept)), tuple(sentences)


def _parts(report: SessionReport, kept: set[str]) -> dict[str, object]:
    front, verdict = report.front, report.verdict
    points = tuple(one for one in front.points if one.key in kept or one.key == ORIGINAL_POINT)
    keys, left = (
        tuple(key for key in front.keys if key in kept),
        {k: why for k, why in front.left_out.items() if k in kept},
    )
    return {
        "candidates": tuple(one for one in report.candidates if one.key in kept),
        "decisions": report.decisions[:MOST_DECISIONS],
        "front": front.model_copy(update={"points": points, "keys": keys, "left_out": left}),
        "verdict": verdict.model_copy(update={"misses": tuple(one for one in verdict.misses if one.candidate in kept)}),
    }


def _detailed(shown: SessionReport) -> dict[str, object]:
    """Of which candidates, beside the delivered one, the PDF has all numbers."""
    first = sorted(shown.others, key=lambda one: _weight(shown, one))[:MOST_DETAILED]
    return {"detailed": tuple(one for one in shown.others if one in first)}


def _weight(report: SessionReport, one: CandidateReport) -> tuple[bool, bool, bool, bool]:
    """Sorts candidates: delivered, accepted, on the front, measured, all others."""
    on_front = any(point.key == one.key and point.on_front for point in report.front.points)
    return (
        one.key != report.verdict.candidate,
        one.status not in ("selected", "accepted"),
        not on_front,
        one.evaluation is None,
    )
