"""What the form of criteria asks: one question for each field of `Criteria`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.agents.contracts.criteria import CountedSize, Device, Objective
from apps.agents.techniques.catalogue import catalogue
from apps.optimization.metric_limits import MetricLimitsField
from apps.optimization.models.choices import choices_of
from apps.optimization.output_limits import OutputLimitsField

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise as StrOrPromise


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
