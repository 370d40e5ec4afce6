"""The simulated choice among many (`benchmarks.truth.choice`) as lines of the proof."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.truth import choice
from benchmarks.truth.form import Form
from benchmarks.truth.rows import Row, percent

BEFORE = {6: "14.5 %", 12: "23.7 %", 24: "41.7 %"}
"""Of sessions with so many candidates at the limit, as they were before finalists were judged apart."""


def rows(form: Form, seed: int = 0) -> Iterator[Row]:
    for one in choice.table(form.choices, seed):
        yield Row(f"simulated: {one.what}", _bound(one), _found(one), _holds(one), _before(one))


def _bound(one: choice.Row) -> str:
    if one.at_most is not None:
        return f"≤ {percent(one.at_most)}"
    return "–" if one.at_least is None else f"≥ {percent(one.at_least)}"


def _found(one: choice.Row) -> str:
    return f"{percent(one.share)} of {one.sessions:,} sessions"


def _holds(one: choice.Row) -> bool | None:
    return None if one.at_most is None and one.at_least is None else one.holds


def _before(one: choice.Row) -> str:
    return next((told for count, told in BEFORE.items() if one.what.startswith(f"{count} candidates")), "")
