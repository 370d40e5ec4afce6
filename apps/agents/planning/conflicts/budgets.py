"""Budgets that are too small for what they have to pay for."""

from __future__ import annotations

import math
from collections.abc import Iterator

from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.phrasing import duration
from apps.agents.contracts.state import CandidateRecord, Plan
from apps.agents.planning.conflicts.values import Conflict, Conflicting, Known, Severity
from apps.agents.techniques.catalogue import Family

SPARE = 1.5
"""How many times the predicted minutes a proposed budget has, because before the analysis they are a lower bound."""


def too_few_candidates(criteria: Criteria, known: Known) -> Iterator[Conflict]:
    """More techniques are required than candidates may be tried.

    Nothing may follow a quantization, so each required one needs a candidate of its own. Others may share one.
    """
    required, most = len(criteria.required_techniques), criteria.budget.candidates
    specs = [known.specs[name] for name in criteria.required_techniques if name in known.specs]
    alone = sum(spec.family is Family.QUANTIZATION for spec in specs)
    if required <= most:
        return
    firm = alone > most
    needed = (
        f"{alone} of them are quantizations, each of which needs a candidate of its own"
        if firm
        else ("each may need a candidate of its own")
    )
    yield (
        Conflicting(
            "too_few_candidates",
            Severity.CONTRADICTION if firm else Severity.WARNING,
            "budget.candidates",
            "required_techniques",
        )
        .resolved("more", f"Allow {required} candidates", budget={"candidates": required})
        .says(
            f"{required} techniques are required, but at most {most} candidate{'s' * (most != 1)} may be tried: "
            f"{needed}. Allow {required} candidates, or require fewer techniques."
        )
    )


def too_few_minutes(criteria: Criteria, known: Known) -> Iterator[Conflict]:
    """Not even the cheapest candidate fits the budget of minutes, or not the cheapest with a required technique."""
    if (plan := known.plan(criteria)) is None:
        return
    for technique in ("", *criteria.required_techniques):
        cheapest = _cheapest(plan, technique)
        if cheapest is None or cheapest <= criteria.budget.minutes:
            continue
        enough = min(math.ceil(SPARE * cheapest), 24 * 60)
        what = f"candidate with {known.label(technique)}" if technique else "candidate"
        yield (
            Conflicting("too_few_minutes", Severity.WARNING, "budget.minutes", subject=technique)
            .resolved("more", f"Allow {enough} minutes", budget={"minutes": enough})
            .says(
                f"Making and measuring the cheapest {what} should take at least {duration(60 * cheapest)}, but the "
                f"budget is {duration(60 * criteria.budget.minutes)}. Allow more minutes, or it may not be measured."
            )
        )
        return


def _cheapest(plan: Plan, technique: str) -> float | None:
    """The predicted minutes of the cheapest candidate with `technique`, or of any if that is empty."""
    minutes = [_minutes(one) for one in plan.candidates if not technique or one.applies(technique)]
    return min((each for each in minutes if each is not None), default=None)


def _minutes(candidate: CandidateRecord) -> float | None:
    return candidate.predicted.minutes
