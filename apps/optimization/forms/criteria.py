"""The forms of criteria. They only ask and show; `contracts.criteria` defines what is valid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django import forms
from django.utils.translation import gettext_lazy as _
from pydantic import ValidationError as InvalidValue

from apps.agents.contracts.criteria import Criteria
from apps.optimization.forms.questions import criteria_questions

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise as StrOrPromise


WHAT_MATTERS, LIMITS = _("What matters"), _("Limits")
WHERE_IT_RUNS, HOW_FAR = _("Where it will run"), _("How far to search")


class CriteriaForm(forms.Form):
    """The form of named criteria. After `is_valid`, `criteria` is set unless an answer is wrong that belongs to them:
    the name and the description do not.
    """

    name = forms.CharField(label=_("Name"), max_length=80)
    description = forms.CharField(label=_("Description"), required=False, widget=forms.Textarea({"rows": 2}))

    SECTIONS: tuple[tuple[StrOrPromise, tuple[str, ...]], ...] = (
        (
            WHAT_MATTERS,
            ("name", "description", "objective", "weight_latency", "weight_size", "weight_memory", "counted_size"),
        ),
        (
            LIMITS,
            (
                "max_metric_drop_points",
                "max_metric_drop_unit",
                "max_metric_drop_relative",
                "default_rise",
                "max_group_drop_points",
                "max_group_drop_unit",
                "max_class_drop_points",
                "metric_limits",
                "output_limits",
                "max_output_deviation",
                "max_latency_ms",
                "min_speedup",
                "max_size_bytes_mb",
                "min_size_reduction",
                "max_memory_bytes_mb",
            ),
        ),
        (WHERE_IT_RUNS, ("device", "threads", "batch_size")),
        (HOW_FAR, ("minutes", "candidates", "confidence", "accept_inconclusive")),
        (_("Techniques"), ("allowed_techniques", "required_techniques", "forbidden_techniques")),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.criteria: Criteria | None = None
        self.questions = list(criteria_questions())
        self.fields.update({question.name: question.field for question in self.questions})

    @property
    def sections(self) -> list[tuple[StrOrPromise, list[forms.BoundField]]]:
        return [(title, [self[name] for name in names]) for title, names in self.SECTIONS]

    @classmethod
    def answers_of(cls, criteria: Criteria) -> dict[str, Any]:
        """`criteria` as the form's initial values."""
        body = criteria.model_dump(mode="json")
        return {question.name: question.shown(_at(body, question.path)) for question in criteria_questions()}

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if self.errors.keys() - {"name", "description"}:
            return cleaned
        try:
            self.criteria = Criteria.model_validate(self._body(cleaned))
        except InvalidValue as error:
            for entry in error.errors(include_url=False):
                self.add_error(self._field_at(entry["loc"]), entry["msg"].removeprefix("Value error, "))
        return cleaned

    def _body(self, cleaned: Mapping[str, Any]) -> dict[str, Any]:
        body: dict[str, Any] = {}
        for question in self.questions:
            place = body
            for part in question.path[:-1]:
                place = place.setdefault(part, {})
            place[question.path[-1]] = question.answer(cleaned[question.name])
        body["allowed_techniques"] = body["allowed_techniques"] or None
        return body

    def _field_at(self, location: tuple[int | str, ...]) -> str | None:
        for question in self.questions:
            if location[: len(question.path)] == question.path:
                return question.name
        return None


def _at(body: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        body = body[part]
    return body


class OwnCriteriaForm(CriteriaForm):
    """The criteria of one session, which have no name."""

    OPEN = LIMITS
    """The section that is unfolded from the start."""

    name = None  # type: ignore[assignment]
    description = None  # type: ignore[assignment]

    SECTIONS = tuple(
        (title, tuple(name for name in names if name not in ("name", "description")))
        for title, names in CriteriaForm.SECTIONS
    )

    def __init__(self, *args: Any, criteria: Criteria | None = None, **kwargs: Any) -> None:
        """`criteria` are what the form starts from."""
        super().__init__(*args, initial=self.answers_of(criteria) if criteria else None, **kwargs)
