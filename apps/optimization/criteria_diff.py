"""What differs between two versions of criteria, with the labels and units of the form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from django.utils.translation import gettext as _

from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.phrasing import capitalized
from apps.agents.contracts.values import Value
from apps.agents.techniques.catalogue import catalogue
from apps.optimization import metric_limits, output_limits
from apps.optimization.forms.questions import Question, criteria_questions
from apps.optimization.localized import localized
from apps.optimization.models import CriteriaSet


class Difference(Value):
    """One field that two versions of criteria do not share."""

    field: str
    """Its path: `constraints.min_speedup`."""
    label: str
    """Its label in the form, with its unit."""
    before: Any
    """The value in the older version, as JSON; null means that there is no limit."""
    after: Any
    before_words: str
    """The same in words, in the unit of the label."""
    after_words: str


class Comparison(Value):
    """Two versions of criteria, and the fields that they do not share."""

    before: str | None
    """The older version's name and number; `None` if there is none."""
    after: str
    differences: tuple[Difference, ...]


def compared(before: CriteriaSet | None, after: CriteriaSet) -> Comparison:
    """Two versions, which need not have the same name."""
    if before is None:
        return Comparison(before=None, after=str(after), differences=())
    return Comparison(before=str(before), after=str(after), differences=differences(before.criteria, after.criteria))


def differences(before: Criteria, after: Criteria) -> tuple[Difference, ...]:
    """The fields in which two criteria differ, in the order of the form."""
    old, new = (dict(leaves(one.model_dump(mode="json"))) for one in (before, after))
    asked = questions_by_path()
    changed = [path for path in dict.fromkeys((*asked, *old, *new)) if old.get(path) != new.get(path)]
    return tuple(_difference(path, asked.get(path), old.get(path), new.get(path)) for path in changed)


def changes_of(versions: Iterable[CriteriaSet]) -> list[tuple[CriteriaSet, tuple[Difference, ...] | None]]:
    """Versions of the same name, the newest first, each with what it changed; `None` for the oldest one."""
    rows = list(versions)
    pairs = zip(rows, [*rows[1:], None], strict=True)
    return [(row, differences(before.criteria, row.criteria) if before else None) for row, before in pairs]


_BY_NAME: Mapping[str, Callable[[Any], str]] = {
    "metric_limits": lambda limits: metric_limits.in_words(limits or {}) or _("none"),
    "output_limits": lambda limits: output_limits.in_words(limits or {}) or _("none"),
}
"""Limits by a name that people choose, each in words."""


def questions_by_path() -> dict[str, Question]:
    """The questions of the form by their path in the criteria: `constraints.min_speedup`."""
    return {".".join(question.path): question for question in criteria_questions()}


def leaves(body: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every field of criteria as JSON, with its path. Limits by a name that people choose stay together."""
    for name, value in body.items():
        if isinstance(value, Mapping) and name not in _BY_NAME:
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _difference(path: str, question: Question | None, before: Any, after: Any) -> Difference:
    label = str(question.label if question else capitalized(path.rpartition(".")[2].replace("_", " ")))
    words = [in_words(value, path, question) for value in (before, after)]
    return Difference(field=path, label=label, before=before, after=after, before_words=words[0], after_words=words[1])


def in_words(value: Any, path: str = "", question: Question | None = None) -> str:
    """A value of the field at `path` in words, in the unit of its `question`."""
    return _BY_NAME.get(path.rpartition(".")[2], _words)(question.shown(value) if question else value)


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, list):
        known = catalogue()
        return ", ".join(known[name].label if name in known else str(name) for name in value) or _("none")
    return _("not set") if value is None else localized(f"{value:g}") if isinstance(value, float) else str(value)
