"""Converts a string enumeration of the agents to choices of a field, with labels in the language of the page."""

from __future__ import annotations

from enum import StrEnum

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

LABELS: dict[str, Promise] = {
    "queued": _("Queued"),
    "running": _("Running"),
    "completed": _("Completed"),
    "failed": _("Failed"),
    "cancelled": _("Cancelled"),
    "analysing": _("Analysing"),
    "planning": _("Planning"),
    "optimizing": _("Optimizing"),
    "evaluating": _("Evaluating"),
    "packaging": _("Packaging"),
    "planned": _("Planned"),
    "rejected": _("Rejected"),
    "accepted": _("Accepted"),
    "selected": _("Selected"),
    "skipped": _("Skipped"),
    "improved": _("Improved"),
    "unchanged": _("Unchanged"),
    "not_measured": _("Not measured"),
    "inconclusive": _("Inconclusive"),
    "proven": _("Proven"),
    "violated": _("Violated"),
    "analyse": _("Analyse"),
    "plan": _("Plan"),
    "optimize": _("Optimize"),
    "supernet": _("Supernet"),
    "trials": _("Trials"),
    "evaluate": _("Evaluate"),
    "refine": _("Refine"),
    "package": _("Package"),
    "matrix": _("Matrix"),
    "infrastructure": _("Infrastructure"),
    "memory": _("Memory"),
    "crash": _("Crash"),
    "original": _("Original"),
    "latency": _("Latency"),
    "size": _("Size"),
    "balanced": _("Balanced"),
}
"""The labels of the agents' enumerations."""


def choices_of(kind: type[StrEnum]) -> list[tuple[str, Promise]]:
    """Each member with a readable label."""
    return [(member.value, LABELS[member.value]) for member in kind]
