"""The portal's forms. What is valid is said once, in `apps.agents.criteria`; forms only ask and show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.db.models import Q
from pydantic import ValidationError

from apps.accounts.models import Team, User
from apps.agents.criteria import Criteria, Device, Objective
from apps.agents.techniques import catalogue
from apps.models.models import DataSet, ModelVersion
from apps.optimization.models import CriteriaSet


class SessionForm(forms.Form):
    """The question that starts a session: which model, on which data, under which criteria."""

    version = forms.ModelChoiceField(ModelVersion.objects.none(), label="Model", empty_label="Choose a model")
    dataset = forms.ModelChoiceField(DataSet.objects.none(), label="Data set", empty_label="Choose a data set")
    criteria_set = forms.ModelChoiceField(CriteriaSet.objects.none(), label="Criteria", empty_label="Choose criteria")
    start_anyway = forms.BooleanField(
        label="Start it all the same: analyse and package the original", required=False, widget=forms.HiddenInput
    )
    """Asked only once it is known that there is nothing to try."""

    def ask_whether_to_start_anyway(self) -> None:
        self.fields["start_anyway"].widget = forms.CheckboxInput()

    def __init__(self, *args: Any, user: User, team: Team, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        versions = ModelVersion.objects.visible_to(user).ready().filter(model__team=team).select_related("model")
        criteria = CriteriaSet.objects.visible_to(user).current().filter(Q(team=team) | Q(team=None))
        self.fields["version"].queryset = versions.order_by("model__name", "-number")  # type: ignore[attr-defined]
        self.fields["dataset"].queryset = DataSet.objects.visible_to(user).ready().filter(team=team)  # type: ignore[attr-defined]
        self.fields["criteria_set"].queryset = criteria.order_by("team", "name")  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Question:
    """One field of the criteria's form: where its answer stands in `Criteria`, and in which unit it is asked."""

    name: str
    path: tuple[str, ...]
    field: forms.Field
    scale: float = 1.0

    def answer(self, value: Any) -> Any:
        """The form's value in the unit of `Criteria`; an empty one is `None`."""
        if value in (None, ""):
            return None
        return round(value * self.scale) if self.scale != 1.0 else value

    def shown(self, value: Any) -> Any:
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            return value
        shown = value / self.scale
        return int(shown) if shown.is_integer() else shown


MEGABYTE = 10**6


def _number(label: str, help_text: str = "", required: bool = False) -> forms.FloatField:
    return forms.FloatField(
        label=label, help_text=help_text, required=required, widget=forms.NumberInput({"step": "any", "min": "0"})
    )


def _limit(name: str, label: str, help_text: str, scale: float = 1.0) -> Question:
    return Question(name, ("constraints", name.removesuffix("_mb")), _number(label, help_text), scale)


def _techniques(label: str, help_text: str) -> forms.MultipleChoiceField:
    choices = [(spec.name, spec.label) for spec in catalogue().values()]
    return forms.MultipleChoiceField(
        choices=choices, label=label, help_text=help_text, required=False, widget=forms.CheckboxSelectMultiple
    )


def _questions() -> Iterator[Question]:
    yield Question(
        "objective",
        ("objective",),
        forms.ChoiceField(
            choices=[(o.value, o.value.capitalize()) for o in Objective], help_text="What counts as better."
        ),
    )
    for gain in ("latency", "size", "memory"):
        label = f"Weight of {gain}"
        yield Question(f"weight_{gain}", ("weights", gain), _number(label, "For the balanced objective.", True))
    yield _limit("max_metric_drop_points", "Loss at most (points)", "Of top-1, F1 …; in the metric's unit otherwise.")
    yield _limit("max_metric_drop_relative", "Loss at most (share)", "0.01 is one per cent of the original's value.")
    yield _limit("max_latency_ms", "Latency at most (ms)", "p50 on the target below.")
    yield _limit("min_speedup", "Faster by at least (×)", "1.5 is one and a half times as fast.")
    yield _limit("max_size_bytes_mb", "Size at most (MB)", "Of the artifact's file.", MEGABYTE)
    yield _limit("min_size_reduction", "Smaller by at least (×)", "2 is half the size.")
    yield _limit("max_memory_bytes_mb", "Peak memory at most (MB)", "While running.", MEGABYTE)
    yield Question("device", ("target", "device"), forms.ChoiceField(choices=[(d.value, d.upper()) for d in Device]))
    yield Question("threads", ("target", "threads"), forms.IntegerField(min_value=1))
    yield Question("batch_size", ("target", "batch_size"), forms.IntegerField(min_value=1))
    yield Question("minutes", ("budget", "minutes"), _number("Minutes at most", "Of search, packaging aside.", True))
    yield Question("candidates", ("budget", "candidates"), forms.IntegerField(label="Candidates at most", min_value=1))
    yield Question(
        "confidence", ("confidence",), _number("Confidence", "Of every interval and test, 0.5 to 0.999.", True)
    )
    yield Question(
        "accept_inconclusive",
        ("accept_inconclusive",),
        forms.BooleanField(
            label="Accept what is within the limits but not proven",
            required=False,
            help_text="When the examples are too few to prove it; the report says so.",
        ),
    )
    yield Question(
        "allowed_techniques", ("allowed_techniques",), _techniques("Only these techniques", "None ticked: all of them.")
    )
    yield Question("forbidden_techniques", ("forbidden_techniques",), _techniques("Never these techniques", ""))


class CriteriaForm(forms.Form):
    """Named criteria as questions. `to_criteria` is valid after `is_valid`."""

    name = forms.CharField(max_length=80)
    description = forms.CharField(required=False, widget=forms.Textarea({"rows": 2}))

    SECTIONS = (
        ("What matters", ("name", "description", "objective", "weight_latency", "weight_size", "weight_memory")),
        (
            "Limits",
            (
                "max_metric_drop_points",
                "max_metric_drop_relative",
                "max_latency_ms",
                "min_speedup",
                "max_size_bytes_mb",
                "min_size_reduction",
                "max_memory_bytes_mb",
            ),
        ),
        ("Where it will run", ("device", "threads", "batch_size")),
        ("How far to search", ("minutes", "candidates", "confidence", "accept_inconclusive")),
        ("Techniques", ("allowed_techniques", "forbidden_techniques")),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.questions = list(_questions())
        self.fields.update({question.name: question.field for question in self.questions})

    @property
    def sections(self) -> list[tuple[str, list[forms.BoundField]]]:
        return [(title, [self[name] for name in names]) for title, names in self.SECTIONS]

    @classmethod
    def answers_of(cls, criteria: Criteria) -> dict[str, Any]:
        """`criteria` as the form's initial values."""
        body = criteria.model_dump(mode="json")
        return {question.name: question.shown(_at(body, question.path)) for question in _questions()}

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if self.errors:
            return cleaned
        try:
            self.criteria = Criteria.model_validate(self._body(cleaned))
        except ValidationError as error:
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


class PromoteForm(forms.Form):
    alias = forms.SlugField(max_length=60, initial="production")


class RollBackForm(forms.Form):
    alias = forms.SlugField(max_length=60, initial="production", widget=forms.HiddenInput)
    reason = forms.CharField(max_length=500, help_text="For the audit trail.")
