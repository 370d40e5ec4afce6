"""The forms of sessions and criteria. They only ask and show; `contracts.criteria` defines what is valid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from pydantic import ValidationError as InvalidValue

from apps.accounts.models import Team, User
from apps.agents.contracts.criteria import CountedSize, Criteria, Device, Objective
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.loss_limits import for_task
from apps.agents.techniques.catalogue import catalogue
from apps.models.models import DataSet, ModelVersion
from apps.optimization.edited_plan import PlanEditsField
from apps.optimization.metric_limits import MetricLimitsField
from apps.optimization.models import CriteriaSet
from apps.optimization.models.choices import choices_of
from apps.optimization.output_limits import OutputLimitsField

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise as StrOrPromise


class SearchedChoiceField(forms.ModelChoiceField):
    """Offers the first few rows that match some words, and accepts any row of its queryset.

    A team has too many models to read through, and rendering all of them takes longer than a search.
    """

    MOST_OFFERED = 30

    def __init__(self, *lookups: str, **kwargs: Any) -> None:
        super().__init__(queryset=None, **kwargs)
        self.lookups = lookups
        self.more = False
        """Whether more rows match than are offered."""

    def offer(self, rows: QuerySet[Any], words: str, chosen: Any) -> None:
        """Accepts any of `rows`, and shows the first that match `words` and the chosen one."""
        self.queryset = rows
        fitting = rows
        for word in words.replace("\x00", " ").split():
            fitting = fitting.filter(reduce(or_, (Q(**{f"{lookup}__icontains": word}) for lookup in self.lookups)))
        fitting = fitting.distinct() if words else fitting  # A version may have several aliases.
        shown = list(fitting[: self.MOST_OFFERED + 1])
        self.more = len(shown) > self.MOST_OFFERED
        shown = shown[: self.MOST_OFFERED]
        if (held := self._held(chosen)) is not None and held not in shown:
            shown.insert(0, held)
        self.choices = [("", self.empty_label), *((row.pk, self.label_from_instance(row)) for row in shown)]

    def _held(self, chosen: Any) -> Any:
        """The row chosen before; `None` if there is none or it may not be chosen."""
        try:
            return self.to_python(chosen)
        except ValidationError:
            return None


class SessionForm(forms.Form):
    """The request that starts a session: a model, a data set and criteria."""

    version = SearchedChoiceField("model__name", "filename", label=_("Model"), empty_label=_("Choose a model"))
    dataset = SearchedChoiceField("name", "filename", label=_("Data set"), empty_label=_("Choose a data set"))
    student = SearchedChoiceField(
        "model__name",
        "filename",
        label=_("Student"),
        empty_label=pgettext_lazy("student", "None"),
        required=False,
        help_text=_(
            "A smaller model that learns from the model above. It must have the same format, inputs and outputs."
        ),
    )
    criteria_set = forms.ModelChoiceField(
        CriteriaSet.objects.none(), label=_("Criteria"), empty_label=_("Choose criteria")
    )
    start_anyway = forms.BooleanField(
        label=_("Start anyway: analyse and package the original"), required=False, widget=forms.HiddenInput
    )
    """Shown only if there is nothing to try."""
    edits = PlanEditsField(required=False)
    """What the member changed about the plan that the page shows."""
    make_anew = forms.BooleanField(
        label=_("Make everything anew"),
        required=False,
        help_text=_(
            "Otherwise an artifact that the team has already made with the same recipe is taken from the store."
        ),
    )

    SEARCHED = ("version", "dataset", "student")

    def __init__(self, *args: Any, user: User, team: Team, criteria: Criteria | None = None, **kwargs: Any) -> None:
        """`criteria` are edited in the page, as are those in the data; otherwise named ones are chosen."""
        super().__init__(*args, **kwargs)
        self.own: OwnCriteriaForm | None = None
        if criteria is not None:
            self.own = OwnCriteriaForm(criteria=criteria, prefix="own")
        elif self.data.get("own"):
            self.own = OwnCriteriaForm(self.data, prefix="own")
        versions = ModelVersion.objects.visible_to(user).ready().filter(model__team=team)
        versions = versions.select_related("model").prefetch_related("aliases")
        datasets = DataSet.objects.visible_to(user).ready().filter(team=team)
        for name in self.SEARCHED:
            self._offer(name, datasets if name == "dataset" else versions)
        named = CriteriaSet.objects.visible_to(user).current().filter(Q(team=team) | Q(team=None))
        self.fields["criteria_set"].queryset = named.order_by("team", "name")  # type: ignore[attr-defined]
        self.fields["criteria_set"].required = self.own is None

    def clean(self) -> dict[str, Any]:
        """Adds the `criteria` that count: those of the page, or those of the named ones."""
        cleaned = super().clean() or {}
        named: CriteriaSet | None = cleaned.get("criteria_set")
        if self.own is None:
            cleaned["criteria"] = named.criteria if named else None
        elif self.own.is_valid():
            cleaned["criteria"] = self.own.criteria
        else:
            self.add_error(None, _("Some of the limits below cannot be used."))
        return cleaned

    @property
    def own_names(self) -> str:
        """The names of the fields of the page's own criteria, each after a comma, for requests of parts of the page."""
        fields = self.own.fields if self.own else {}
        return "".join(f",own-{name}" for name in fields) + (",own" if self.own else "")

    def ask_whether_to_start_anyway(self) -> None:
        self.fields["start_anyway"].widget = forms.CheckboxInput()

    def _offer(self, name: str, rows: QuerySet[Any]) -> None:
        field = self.fields[name]
        assert isinstance(field, SearchedChoiceField)
        field.offer(rows.order_by("-pk"), self.words(name), self[name].value())

    def words(self, name: str) -> str:
        """The search words typed for a field."""
        typed = f"{name}_search"
        return str((self.data or self.initial).get(typed, ""))

    @property
    def searched(self) -> list[tuple[forms.BoundField, str]]:
        """The searchable fields, each with its search words."""
        return [(self[name], self.words(name)) for name in self.SEARCHED]


class StandingVersionField(SearchedChoiceField):
    """Versions by their aliases, too: people know the one that stands as *production*."""

    def label_from_instance(self, obj: Any) -> str:
        names = ", ".join(alias.name for alias in obj.aliases.all())
        return f"{obj} ({names})" if names else str(obj)


class CompareForm(SessionForm):
    """The request that measures two versions in turns: the one that stands, the other, a data set and criteria."""

    version = StandingVersionField(
        "model__name",
        "filename",
        "aliases__name",
        label=_("Stands"),
        empty_label=_("Choose a version"),
        help_text=_("The version that is in use, such as the one in production."),
    )
    compared = StandingVersionField(
        "model__name",
        "filename",
        "aliases__name",
        label=_("To be proven"),
        empty_label=_("Choose a version"),
        help_text=_("It has to hold the limits of the criteria against the one that stands."),
    )
    student = start_anyway = edits = make_anew = None  # type: ignore[assignment]

    SEARCHED = ("version", "compared", "dataset")


class WhatIfForm(forms.Form):
    """A limit and confidence to try, before writing criteria with them."""

    limit = forms.FloatField(
        label=_("Loss at most (points)"),
        min_value=0,
        required=False,
        help_text=_("In the metric's own unit for errors, perplexity and likelihoods."),
        widget=forms.NumberInput({"step": "any"}),
    )
    confidence = forms.FloatField(
        label=_("Confidence"), min_value=0.5, max_value=0.999, widget=forms.NumberInput({"step": "any"})
    )

    @staticmethod
    def answers_of(criteria: Criteria, dataset: DataSet) -> dict[str, Any]:
        """The absolute limit that `criteria` set for the metric of `dataset`, if they set one."""
        criteria = for_task(criteria, DatasetSpec.model_validate(dataset.spec))
        return {"limit": criteria.constraints.drop_limit, "confidence": criteria.confidence}

    def put_on(self, criteria: Criteria) -> Criteria:
        """`criteria` with the valid answers applied."""
        limit = self.cleaned_data["limit"]
        given = {"max_metric_drop_points": limit, "max_metric_drop_unit": limit}
        limits = criteria.constraints.model_copy(update=given)
        return criteria.model_copy(update={"constraints": limits, "confidence": self.cleaned_data["confidence"]})


@dataclass(frozen=True)
class Question:
    """One field of the criteria form: its path in `Criteria`, and the unit of the form."""

    name: str
    path: tuple[str, ...]
    field: forms.Field
    scale: float = 1.0

    @property
    def label(self) -> str:
        """The field's label, as the form shows it."""
        return str(self.field.label or self.name.replace("_", " ").capitalize())

    def answer(self, value: Any) -> Any:
        """The form's value in the unit of `Criteria`; `None` if empty."""
        if value in (None, ""):
            return None
        return round(value * self.scale) if self.scale != 1.0 else value

    def shown(self, value: Any) -> Any:
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            return value
        shown = value / self.scale
        return int(shown) if shown.is_integer() else shown


MEGABYTE = 10**6


def _number(label: StrOrPromise, help_text: StrOrPromise = "", required: bool = False) -> forms.FloatField:
    return forms.FloatField(
        label=label, help_text=help_text, required=required, widget=forms.NumberInput({"step": "any", "min": "0"})
    )


def _limit(name: str, label: StrOrPromise, help_text: StrOrPromise, scale: float = 1.0) -> Question:
    return Question(name, ("constraints", name.removesuffix("_mb")), _number(label, help_text), scale)


def _techniques(label: StrOrPromise, help_text: StrOrPromise) -> forms.MultipleChoiceField:
    choices = [(spec.name, spec.label) for spec in catalogue().values()]
    return forms.MultipleChoiceField(
        choices=choices, label=label, help_text=help_text, required=False, widget=forms.CheckboxSelectMultiple
    )


def criteria_questions() -> Iterator[Question]:
    """The questions of the criteria form, in its order."""
    yield from _objective_questions()
    yield from _limit_questions()
    yield from _target_questions()
    yield from _evidence_questions()
    yield from _technique_questions()


def _objective_questions() -> Iterator[Question]:
    yield Question(
        "objective",
        ("objective",),
        forms.ChoiceField(choices=choices_of(Objective), label=_("Objective"), help_text=_("What to optimize for.")),
    )
    weights = (("latency", _("Weight of latency")), ("size", _("Weight of size")), ("memory", _("Weight of memory")))
    for gain, label in weights:
        yield Question(f"weight_{gain}", ("weights", gain), _number(label, _("For the balanced objective."), True))
    yield _size_question()


def _size_question() -> Question:
    choices = [
        (CountedSize.FILE.value, _("The file as it is")),
        (CountedSize.COMPRESSED.value, _("The compressed download")),
        (CountedSize.TFLITE.value, _("The model as TensorFlow Lite")),
    ]
    field = forms.ChoiceField(
        choices=choices,
        label=_("The size that counts"),
        help_text=_(
            "For the objective and the limits. Zeros and shared values among the weights make only a compressed "
            "file smaller. As TensorFlow Lite: for Keras, SavedModel and TensorFlow Lite models."
        ),
    )
    return Question("counted_size", ("counted_size",), field)


def _limit_questions() -> Iterator[Question]:
    yield _limit(
        "max_metric_drop_points",
        _("Loss at most (points)"),
        _("For shares such as top-1 and F1, and for correlations and R², of which 1 is 100 points."),
    )
    yield _limit(
        "max_metric_drop_unit",
        _("Loss at most (metric's own unit)"),
        _("For errors, in the unit of the labels, such as °C; for perplexity; for likelihoods, in nats per token."),
    )
    yield _limit(
        "max_metric_drop_relative", _("Loss at most (share)"), _("0.01 is one percent of the original's value.")
    )
    yield _limit(
        "default_rise",
        _("Otherwise, errors higher by at most (share)"),
        _(
            "For errors, perplexity and likelihoods without another limit: 0.02 is two percent of the original's "
            "value. If empty, the limit in points counts in the metric's own unit."
        ),
    )
    yield from _part_limit_questions()
    yield _limit("max_latency_ms", _("Latency at most (ms)"), _("p50 on the target below."))
    yield _limit("min_speedup", _("Faster by at least (×)"), _("1.5 is one and a half times as fast."))
    yield _limit("max_size_bytes_mb", _("Size at most (MB)"), _("Of the size that counts."), MEGABYTE)
    yield _limit("min_size_reduction", _("Smaller by at least (×)"), _("2 is half the size."))
    yield _limit("max_memory_bytes_mb", _("Peak memory at most (MB)"), _("While running."), MEGABYTE)


def _part_limit_questions() -> Iterator[Question]:
    """Limits on groups, classes, further metrics and further outputs."""
    yield _limit(
        "max_group_drop_points",
        _("Loss of each group at most (points)"),
        _("For data sets with groups, such as sites or devices. Empty: no limit."),
    )
    yield _limit(
        "max_group_drop_unit",
        _("Loss of each group at most (metric's own unit)"),
        _("The same for errors, perplexity and likelihoods."),
    )
    yield _limit(
        "max_class_drop_points",
        _("Loss of each class at most (points)"),
        _("Of the class's recall, for classification. Empty: no limit."),
    )
    yield Question("metric_limits", ("constraints", "metric_limits"), MetricLimitsField())
    yield Question("output_limits", ("constraints", "output_limits"), OutputLimitsField())
    yield _limit(
        "max_output_deviation",
        _("Other outputs deviate at most (share)"),
        _(
            "Of how much the output varies, for every output that is not judged: 0.25 is an R² of 0.94. Empty: no "
            "limit."
        ),
    )


def _target_questions() -> Iterator[Question]:
    yield Question(
        "device",
        ("target", "device"),
        forms.ChoiceField(label=_("Device"), choices=[(d.value, d.upper()) for d in Device]),
    )
    yield Question("threads", ("target", "threads"), forms.IntegerField(label=_("Threads"), min_value=1))
    yield Question("batch_size", ("target", "batch_size"), forms.IntegerField(label=_("Batch size"), min_value=1))
    yield Question(
        "minutes", ("budget", "minutes"), _number(_("Minutes at most"), _("For the search, without packaging."), True)
    )
    yield Question(
        "candidates", ("budget", "candidates"), forms.IntegerField(label=_("Candidates at most"), min_value=1)
    )


def _evidence_questions() -> Iterator[Question]:
    yield Question(
        "confidence", ("confidence",), _number(_("Confidence"), _("Of every interval and test, 0.5 to 0.999."), True)
    )
    yield Question(
        "accept_inconclusive",
        ("accept_inconclusive",),
        forms.BooleanField(
            label=_("Accept a result that is within the limits but not proven"),
            required=False,
            help_text=_("If there are too few examples to prove it. The report says so."),
        ),
    )


def _technique_questions() -> Iterator[Question]:
    yield Question(
        "allowed_techniques",
        ("allowed_techniques",),
        _techniques(_("Only these techniques"), _("If none is selected, all are allowed.")),
    )
    yield Question(
        "required_techniques",
        ("required_techniques",),
        _techniques(
            _("Measure each of these techniques"),
            _("At least one candidate with each is measured, even if no gain is predicted. They are tried first."),
        ),
    )
    yield Question("forbidden_techniques", ("forbidden_techniques",), _techniques(_("Never these techniques"), ""))


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


class ContinueForm(OwnCriteriaForm):
    """The criteria with which a finished session is continued. Its target stays."""

    SECTIONS = tuple(
        section
        for section in sorted(OwnCriteriaForm.SECTIONS, key=lambda section: section[0] is not HOW_FAR)
        if section[0] is not WHERE_IT_RUNS
    )
    """The budget comes first."""

    def __init__(self, *args: Any, criteria: Criteria, **kwargs: Any) -> None:
        super().__init__(*args, criteria=criteria, **kwargs)
        self._target = criteria.target
        self.fields["max_latency_ms"].help_text = _("p50 on the session's target.")
        for question in [one for one in self.questions if one.path[0] == "target"]:
            self.questions.remove(question)
            del self.fields[question.name]

    def _body(self, cleaned: Mapping[str, Any]) -> dict[str, Any]:
        return {**super()._body(cleaned), "target": self._target.model_dump(mode="json")}


class PromoteForm(forms.Form):
    alias = forms.SlugField(label=_("Alias"), max_length=60, initial="production")


class RollBackForm(forms.Form):
    alias = forms.SlugField(max_length=60, initial="production", widget=forms.HiddenInput)
    reason = forms.CharField(label=_("Reason"), max_length=500, help_text=_("For the audit trail."))


class RetentionForm(forms.Form):
    """Retention in days. Empty means forever."""

    artifact_days = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=36_500,
        label=_("Candidate files (days)"),
        help_text=_("Except winning artifacts. Counted from the end of the session. Empty: forever."),
    )
    log_days = forms.IntegerField(required=False, min_value=1, max_value=36_500, label=_("Logs (days)"))
    session_days = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=36_500,
        label=_("Whole sessions (days)"),
        help_text=_("With report and package. Promoted versions and audit events stay."),
    )
