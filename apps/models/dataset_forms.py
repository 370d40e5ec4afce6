"""Forms about data sets, with the fields of `DatasetSpec`. Services validate the rest."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.agents.contracts.dataset_spec import METRICS, DatasetKind, TextReading
from apps.agents.contracts.image_preprocessing import ImagePreprocessing
from apps.agents.contracts.reports.dataset import Task
from apps.models.forms import FileOrUploadForm, words

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

KIND_LABELS = {
    DatasetKind.NPZ: _("Arrays (.npz)"),
    DatasetKind.IMAGES: _("Images in class folders (.zip)"),
    DatasetKind.TABLE: _("Table (.csv or .parquet)"),
    DatasetKind.TEXT: _("Texts (.txt or .jsonl)"),
}
TASK_LABELS = {
    Task.CLASSIFICATION: _("Classification"),
    Task.REGRESSION: _("Regression"),
    Task.EMBEDDING: _("Embedding"),
    Task.FIDELITY: _("Fidelity: no labels, agreement with the original"),
    Task.LANGUAGE_MODELING: _("Language modelling: predict the next token"),
    Task.MULTIPLE_CHOICE: _("Multiple choice or last word, by log-likelihood"),
}
_PREPROCESSING = ImagePreprocessing()
_READING = TextReading()
_INPUT_PART = re.compile(r"(?P<what>batch axis|constant|array)\s+(?P<value>.+)")
_LABELS_PART = re.compile(r"(?P<what>metric|unit|classes)\s+(?P<value>.+)")
ONLY_INPUT = "features"
"""The name of all columns together. If the model has one input, they fill it whatever its name."""
_JOINTS = {"space": " ", "nothing": "", "line": "\n"}


def _name_field(name: str, label: StrOrPromise, help_text: StrOrPromise = "") -> forms.CharField:
    """The name of a field in a JSON line."""
    initial = getattr(_READING, name)
    return forms.CharField(required=False, max_length=100, initial=initial, label=label, help_text=help_text)


class DataSetForm(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=120)
    description = forms.CharField(label=_("Description"), required=False, widget=forms.Textarea({"rows": 4}))


class DataSetUploadForm(FileOrUploadForm):
    """A data set and how to read it: the fields of `DatasetSpec`. Fields of one kind are shown only for that kind."""

    name = forms.CharField(label=_("Name"), max_length=120, help_text=_("Unique within the team."))
    kind = forms.ChoiceField(label=_("Kind"), choices=[(kind.value, label) for kind, label in KIND_LABELS.items()])
    task = forms.ChoiceField(label=_("Task"), choices=[(task.value, label) for task, label in TASK_LABELS.items()])
    metric = forms.ChoiceField(
        label=_("Metric"),
        required=False,
        choices=[("", _("The task's default")), *((name.value, spec.label) for name, spec in METRICS.items())],
    )
    description = forms.CharField(label=_("Description"), required=False, widget=forms.Textarea({"rows": 3}))
    label = forms.CharField(
        initial="y", required=False, label=_("Labels in"), help_text=_("The array or column that holds the labels.")
    )
    group = forms.CharField(
        required=False,
        max_length=200,
        label=_("Groups in"),
        help_text=_(
            "The array or column with the group of each example, such as a site or a device. Reports then show "
            "the loss of each group. Name the label column to make each class a group."
        ),
    )
    unit = forms.CharField(
        required=False,
        max_length=30,
        label=_("Unit of the labels"),
        help_text=_("Such as °C or kg. Errors, and limits on them, are shown in it."),
    )
    classes = forms.CharField(
        label=_("Classes"),
        required=False,
        help_text=_(
            "Names in the order of the model's output, separated by commas. If empty, numbers keep their order "
            "and names are sorted from A to Z."
        ),
    )
    output = forms.CharField(
        required=False,
        label=_("Model output"),
        help_text=_("The output to read predictions from. Default: the first output."),
    )
    output_labels = forms.CharField(
        required=False,
        label=_("Labels of further outputs"),
        widget=forms.Textarea({"rows": 2, "placeholder": "age: years, regression, unit a\nsex: sex, classification"}),
        help_text=_(
            "One line per model output that has labels of its own: the array or column, the task (classification or "
            "regression), and if needed “metric mae”, “unit °C”, “classes low | high”. Criteria can then limit the "
            "loss of this output."
        ),
    )
    pooling = forms.ChoiceField(
        label=_("Pooling"),
        required=False,
        choices=[("none", _("None")), ("first", _("First token")), ("mean", _("Mean of the tokens"))],
        help_text=_("How token embeddings are combined into one per example."),
    )
    ctc_blank = forms.IntegerField(
        required=False,
        min_value=-1,
        label=_("CTC blank"),
        help_text=_(
            "For outputs [N, T, C] trained with CTC: the class that stands for nothing; −1 is the last one. "
            "Sequences are then compared without repeats and blanks."
        ),
    )
    pairs = forms.BooleanField(
        required=False,
        label=_("Pairs"),
        help_text=_("Every input appears twice, as NAME_a and NAME_b, and the label is a score."),
    )
    training_share = forms.FloatField(
        required=False,
        min_value=0,
        max_value=0.7,
        label=_("Share for training"),
        help_text=_("0 to 0.9. Examples reserved for techniques that train, such as recovery after pruning."),
    )
    examples_stay = forms.BooleanField(
        required=False,
        label=_("Examples stay here"),
        help_text=_("Packages contain inputs drawn from the ranges of the numbers, and none of the examples."),
    )
    columns = forms.CharField(
        label=_("Columns"),
        required=False,
        widget=forms.Textarea({"rows": 3, "placeholder": "input: width, height, depth"}),
        help_text=_("One line per model input, with its feature columns. Empty: all columns in file order."),
    )
    shapes = forms.CharField(
        required=False,
        label=_("Shape of an example"),
        widget=forms.Textarea({"rows": 2, "placeholder": "25, 2"}),
        help_text=_(
            "Reshapes the columns in row-major order. For several inputs, one line each: “input: 25, 2”. Empty: one "
            "axis."
        ),
    )
    inputs = forms.CharField(
        required=False,
        label=_("Inputs"),
        widget=forms.Textarea({"rows": 3, "placeholder": "state: constant 0, batch axis 1\nrate: constant 16000"}),
        help_text=_(
            "One line per model input that is the same for all examples, or whose examples run along an axis other "
            "than the first (0): “constant 0”, “array NAME” (from the file), “batch axis 1”. Other inputs need no "
            "line."
        ),
    )
    width = forms.IntegerField(label=_("Width"), initial=_PREPROCESSING.width, required=False, min_value=1)
    height = forms.IntegerField(label=_("Height"), initial=_PREPROCESSING.height, required=False, min_value=1)
    resize = forms.IntegerField(
        label=_("Resize"),
        required=False,
        min_value=1,
        help_text=_("Length of the shorter side before the centre crop. Empty: the image is stretched."),
    )
    interpolation = forms.ChoiceField(
        label=_("Interpolation"),
        required=False,
        choices=[(name, name.capitalize()) for name in ("bilinear", "nearest", "bicubic", "lanczos")],
    )
    color = forms.ChoiceField(
        required=False, label=_("Colour"), choices=[("RGB", "RGB"), ("BGR", "BGR"), ("L", _("Grey"))]
    )
    layout = forms.ChoiceField(label=_("Layout"), required=False, choices=[("NCHW", "N C H W"), ("NHWC", "N H W C")])
    scale = forms.FloatField(
        label=_("Scale"),
        required=False,
        initial=repr(_PREPROCESSING.scale),
        help_text=_("(pixel × scale − mean) ÷ std, with pixels from 0 to 255."),
    )
    mean = forms.CharField(required=False, label=_("Mean"), initial="0", help_text=_("One number, or one per channel."))
    std = forms.CharField(
        required=False, label=_("Standard deviation"), initial="1", help_text=_("One number, or one per channel.")
    )
    dtype = forms.ChoiceField(
        required=False, label=_("Element type"), choices=[("float32", "float32"), ("uint8", _("uint8 (raw pixels)"))]
    )

    text = _name_field("text", _("Text in"), _("The field with the text."))
    text_label = _name_field("label", _("Labels in"), _("The field with the class, by number or name."))
    text_a = _name_field("text_a", _("First text in"))
    text_b = _name_field("text_b", _("Second text in"))
    score = _name_field("score", _("Score in"), _("The field with the similarity of the two texts, any number."))
    context = _name_field("context", _("Context in"), _("The field with the text before the choices."))
    choices = _name_field(
        "choices",
        _("Choices in"),
        _("The field with a list of texts. In lines without it, the last word is predicted."),
    )
    answer = _name_field("answer", _("Answer in"), _("The field with the index of the right choice, from 0."))
    joint = forms.ChoiceField(
        required=False,
        label=_("Between context and choice"),
        choices=[("space", _("A space")), ("line", _("A new line")), ("nothing", _("Nothing"))],
        help_text=_("Added if neither of them has white space there."),
    )
    separator = forms.CharField(
        required=False,
        max_length=100,
        strip=False,
        label=_("Documents end with"),
        help_text=_("In plain text. Empty: a blank line."),
    )
    max_tokens = forms.IntegerField(
        required=False,
        initial=_READING.max_tokens,
        label=_("Maximum tokens"),
        help_text=_("Per row. A shorter context of the model lowers the limit."),
    )

    IMAGE_FIELDS = (
        "width",
        "height",
        "resize",
        "interpolation",
        "color",
        "layout",
        "scale",
        "mean",
        "std",
        "dtype",
    )
    TEXT_FIELDS = {
        name: "label" if name == "text_label" else name
        for name in (
            "text",
            "text_label",
            "text_a",
            "text_b",
            "score",
            "context",
            "choices",
            "answer",
            "joint",
            "separator",
            "max_tokens",
        )
    }
    """The fields of `TextReading`, by their names in this form."""

    def clean_joint(self) -> str:
        return _JOINTS.get(self.cleaned_data["joint"], _READING.joint)

    def image_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in self.IMAGE_FIELDS]

    def pair_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in ("text_a", "text_b", "score")]

    def choice_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in ("context", "choices", "answer", "joint")]

    def _numbers(self, name: str) -> list[float]:
        try:
            return [float(word) for word in words(self.cleaned_data.get(name) or "")]
        except ValueError:
            raise forms.ValidationError(_("Enter numbers, separated by commas."), code="invalid") from None

    def clean_mean(self) -> list[float]:
        return self._numbers("mean")

    def clean_std(self) -> list[float]:
        return self._numbers("std")

    def clean_columns(self) -> dict[str, list[str]]:
        groups: dict[str, list[str]] = {}
        for line in filter(None, map(str.strip, self.cleaned_data["columns"].splitlines())):
            name, colon, columns = line.partition(":")
            if not colon or not words(columns):
                raise forms.ValidationError(
                    _("“{line}” does not have the form “input: column, column”.").format(line=line), code="invalid"
                )
            groups[name.strip()] = words(columns)
        return groups

    def clean_shapes(self) -> dict[str, list[int]]:
        shapes: dict[str, list[int]] = {}
        for line in filter(None, map(str.strip, self.cleaned_data["shapes"].splitlines())):
            name, colon, sizes = line.rpartition(":")
            try:
                shapes[name.strip() if colon else ONLY_INPUT] = [int(word) for word in words(sizes)]
            except ValueError:
                message = _("“{line}” does not have the form “25, 2” or “input: 25, 2”.").format(line=line)
                raise forms.ValidationError(message, code="invalid") from None
        return shapes

    def clean_inputs(self) -> dict[str, dict[str, Any]]:
        lines = filter(None, map(str.strip, self.cleaned_data["inputs"].splitlines()))
        return dict(map(_input_reading, lines))

    def clean_output_labels(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for line in filter(None, map(str.strip, self.cleaned_data["output_labels"].splitlines())):
            output, labels = _output_labels(line)
            if output in found:
                raise forms.ValidationError(
                    _("“{output}” has two lines. Give each output one.").format(output=output), code="invalid"
                )
            found[output] = labels
        return found

    def spec(self) -> dict[str, Any]:
        """The values for `DatasetSpec`: only the fields of this kind, without empty ones."""
        answers = self.cleaned_data
        kind = answers["kind"]
        spec = {name: answers[name] for name in ("kind", "task", "metric", "label", "output", "pooling")}
        spec["classes"] = words(answers["classes"])
        if answers["task"] == Task.REGRESSION:
            spec["unit"] = answers["unit"]
        spec["training_share"] = answers["training_share"]
        spec["ctc_blank"] = answers["ctc_blank"] if answers["task"] == Task.FIDELITY else None
        if kind != DatasetKind.TEXT:
            spec["inputs"] = answers["inputs"]
        if answers["examples_stay"]:
            spec["examples_may_leave"] = False
        if kind in (DatasetKind.NPZ, DatasetKind.TABLE):
            spec["group"] = answers["group"]
            spec["output_labels"] = answers["output_labels"]
        if kind == DatasetKind.NPZ:
            spec["pairs"] = answers["pairs"]
        if kind == DatasetKind.TABLE:
            spec["columns"] = answers["columns"]
            spec["shapes"] = answers["shapes"]
        if kind == DatasetKind.TEXT:
            spec.pop("label")
            spec["text"] = self._reading()
        if kind == DatasetKind.IMAGES:
            spec["images"] = {name: answers[name] for name in self.IMAGE_FIELDS if answers[name] not in (None, "", [])}
        return {name: value for name, value in spec.items() if value not in (None, "", [], {})}

    def _reading(self) -> dict[str, Any]:
        answers = {inner: self.cleaned_data[name] for name, inner in self.TEXT_FIELDS.items()}
        # The joint between a context and its choices may be empty. Any other empty field keeps its default.
        return {name: value for name, value in answers.items() if name == "joint" or value not in (None, "")}


def _output_labels(line: str) -> tuple[str, dict[str, Any]]:
    """The output and its `OutputLabels` from a line such as `age: years, regression, unit a`."""
    output, colon, rest = line.rpartition(":")
    label, task, *more = [*words(rest), "", ""]
    parts = [_LABELS_PART.fullmatch(part) for part in more if part]
    if not colon or not output.strip() or not task or not all(parts):
        raise forms.ValidationError(
            _(
                "“{line}” does not have the form “output: array, task” with “metric NAME”, “unit NAME” or “classes "
                "A | B” after it."
            ).format(line=line),
            code="invalid",
        )
    found: dict[str, Any] = {"label": label, "task": task.lower()}
    for part in filter(None, parts):
        value = part["value"].strip()
        found[part["what"]] = [one.strip() for one in value.split("|")] if part["what"] == "classes" else value
    return output.strip(), found


def _input_reading(line: str) -> tuple[str, dict[str, Any]]:
    """The input and `InputReading` from a line such as `state: constant 0, batch axis 1`. Raises `ValidationError`."""
    name, colon, rest = line.rpartition(":")
    parts = [_INPUT_PART.fullmatch(part) for part in words(rest)]
    if not colon or not name.strip() or not parts or not all(parts):
        raise forms.ValidationError(
            _("“{line}” does not have the form “input: constant 0, batch axis 1”.").format(line=line), code="invalid"
        )
    reading = {part["what"].replace(" ", "_"): part["value"].strip() for part in parts if part}
    return name.strip(), reading
