"""What members fill in about a data set: the fields of `DatasetSpec`. The services check the rest."""

from __future__ import annotations

import re
from typing import Any

from django import forms

from apps.agents.contracts.dataset_spec import METRICS, DatasetKind, ImagePreprocessing, TextReading
from apps.agents.contracts.reports.dataset import Task
from apps.models.forms import FileOrUploadForm, words

KIND_LABELS = {
    DatasetKind.NPZ: "Arrays (.npz)",
    DatasetKind.IMAGES: "Images in class folders (.zip)",
    DatasetKind.TABLE: "Table (.csv or .parquet)",
    DatasetKind.TEXT: "Texts (.txt or .jsonl)",
}
TASK_LABELS = {
    Task.CLASSIFICATION: "Classification",
    Task.REGRESSION: "Regression",
    Task.EMBEDDING: "Embedding",
    Task.FIDELITY: "Fidelity: no labels, agreement with the original",
    Task.LANGUAGE_MODELING: "Language modelling: predict the next token",
    Task.MULTIPLE_CHOICE: "Multiple choice, or the last word, by log-likelihood",
}
_PREPROCESSING = ImagePreprocessing()
_READING = TextReading()
_INPUT_PART = re.compile(r"(?P<what>batch axis|constant|array)\s+(?P<value>.+)")
ONLY_INPUT = "features"
"""What all columns together are called; the model's only input takes them whatever its name."""
_JOINTS = {"space": " ", "nothing": "", "line": "\n"}


def _name_field(name: str, label: str, help_text: str = "") -> forms.CharField:
    """The name of a field in a line of texts."""
    initial = getattr(_READING, name)
    return forms.CharField(required=False, max_length=100, initial=initial, label=label, help_text=help_text)


class DataSetForm(forms.Form):
    name = forms.CharField(max_length=120)
    description = forms.CharField(required=False, widget=forms.Textarea({"rows": 4}))


class DataSetUploadForm(FileOrUploadForm):
    """A data set and how to read it: the fields of `DatasetSpec`, those of one kind shown with that kind."""

    name = forms.CharField(max_length=120, help_text="Unique in the team.")
    kind = forms.ChoiceField(choices=[(kind.value, label) for kind, label in KIND_LABELS.items()])
    task = forms.ChoiceField(choices=[(task.value, label) for task, label in TASK_LABELS.items()])
    metric = forms.ChoiceField(
        required=False,
        choices=[("", "The task's usual one"), *((name.value, spec.label) for name, spec in METRICS.items())],
    )
    description = forms.CharField(required=False, widget=forms.Textarea({"rows": 3}))
    label = forms.CharField(
        initial="y", required=False, label="Labels in", help_text="The array or column that holds the labels."
    )
    group = forms.CharField(
        required=False,
        max_length=200,
        label="Groups in",
        help_text="The array or column that says which group an example belongs to, such as a site or a device. "
        "Reports then tell what each group loses. The labels' own makes each class a group.",
    )
    classes = forms.CharField(
        required=False,
        help_text="Names in the order of the model's output, separated by commas. Empty: numbers as they are, names "
        "from A to Z.",
    )
    output = forms.CharField(
        required=False, label="Model output", help_text="Where predictions are read; the first output unless named."
    )
    pooling = forms.ChoiceField(
        required=False,
        choices=[("none", "None"), ("first", "First token"), ("mean", "Mean of the tokens")],
        help_text="How token embeddings become one for each example.",
    )
    pairs = forms.BooleanField(
        required=False, label="Pairs", help_text="Every input comes twice, as NAME_a and NAME_b; the label is a score."
    )
    training_share = forms.FloatField(
        required=False,
        min_value=0,
        max_value=0.7,
        label="Share for training",
        help_text="0 to 0.7. Examples set apart for techniques that train, such as recovery after pruning.",
    )
    examples_stay = forms.BooleanField(
        required=False,
        label="Examples stay here",
        help_text="Packages carry inputs drawn from the ranges of the numbers, and none of the examples.",
    )
    columns = forms.CharField(
        required=False,
        widget=forms.Textarea({"rows": 3, "placeholder": "input: width, height, depth"}),
        help_text="A line for each model input, with its feature columns. Empty: all columns in file order.",
    )
    shapes = forms.CharField(
        required=False,
        label="Shape of an example",
        widget=forms.Textarea({"rows": 2, "placeholder": "25, 2"}),
        help_text="Folds the columns, row by row. For several inputs a line each: “input: 25, 2”. Empty: one axis.",
    )
    inputs = forms.CharField(
        required=False,
        label="Inputs",
        widget=forms.Textarea({"rows": 3, "placeholder": "state: constant 0, batch axis 1\nrate: constant 16000"}),
        help_text=(
            "A line for each model input that is the same for all examples, or has them along another axis than the "
            "first (0): “constant 0”, “array NAME” (of the file), “batch axis 1”. Other inputs need none."
        ),
    )
    width = forms.IntegerField(initial=_PREPROCESSING.width, required=False, min_value=1)
    height = forms.IntegerField(initial=_PREPROCESSING.height, required=False, min_value=1)
    resize = forms.IntegerField(
        required=False, min_value=1, help_text="Shorter side before the centre crop; empty stretches the picture."
    )
    interpolation = forms.ChoiceField(
        required=False, choices=[(name, name.capitalize()) for name in ("bilinear", "nearest", "bicubic", "lanczos")]
    )
    color = forms.ChoiceField(required=False, label="Colour", choices=[("RGB", "RGB"), ("BGR", "BGR"), ("L", "Grey")])
    layout = forms.ChoiceField(required=False, choices=[("NCHW", "N C H W"), ("NHWC", "N H W C")])
    scale = forms.FloatField(
        required=False,
        initial=repr(_PREPROCESSING.scale),
        help_text="(pixel × scale − mean) ÷ std, with pixels from 0 to 255.",
    )
    mean = forms.CharField(required=False, label="Mean", initial="0", help_text="One number, or one for each channel.")
    std = forms.CharField(
        required=False, label="Standard deviation", initial="1", help_text="One number, or one for each channel."
    )
    dtype = forms.ChoiceField(
        required=False, label="Element type", choices=[("float32", "float32"), ("uint8", "uint8 (raw pixels)")]
    )

    text = _name_field("text", "Text in", "The field of a line that holds the text.")
    text_label = _name_field("label", "Labels in", "The field with the class: its number, or its name.")
    text_a = _name_field("text_a", "First text in")
    text_b = _name_field("text_b", "Second text in")
    score = _name_field("score", "Score in", "How similar the two texts are: any number.")
    context = _name_field("context", "Context in", "The text before the choices.")
    choices = _name_field("choices", "Choices in", "A list of texts. Lines without it have their last word predicted.")
    answer = _name_field("answer", "Answer in", "The place of the right choice, from 0.")
    joint = forms.ChoiceField(
        required=False,
        label="Between context and choice",
        choices=[("space", "A space"), ("line", "A new line"), ("nothing", "Nothing")],
        help_text="Where neither brings white space there.",
    )
    separator = forms.CharField(
        required=False,
        max_length=100,
        strip=False,
        label="Documents end with",
        help_text="In plain text. Empty: a blank line.",
    )
    max_tokens = forms.IntegerField(
        required=False,
        initial=_READING.max_tokens,
        label="Most tokens",
        help_text="Of one row; fewer where the model's context is shorter.",
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
    """The fields of `TextReading`, by their names here."""

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
            raise forms.ValidationError("Write numbers, separated by commas.", code="invalid") from None

    def clean_mean(self) -> list[float]:
        return self._numbers("mean")

    def clean_std(self) -> list[float]:
        return self._numbers("std")

    def clean_columns(self) -> dict[str, list[str]]:
        groups: dict[str, list[str]] = {}
        for line in filter(None, map(str.strip, self.cleaned_data["columns"].splitlines())):
            name, colon, columns = line.partition(":")
            if not colon or not words(columns):
                raise forms.ValidationError(f"“{line}” is not of the form “input: column, column”.", code="invalid")
            groups[name.strip()] = words(columns)
        return groups

    def clean_shapes(self) -> dict[str, list[int]]:
        shapes: dict[str, list[int]] = {}
        for line in filter(None, map(str.strip, self.cleaned_data["shapes"].splitlines())):
            name, colon, sizes = line.rpartition(":")
            try:
                shapes[name.strip() if colon else ONLY_INPUT] = [int(word) for word in words(sizes)]
            except ValueError:
                message = f"“{line}” is not of the form “25, 2” or “input: 25, 2”."
                raise forms.ValidationError(message, code="invalid") from None
        return shapes

    def clean_inputs(self) -> dict[str, dict[str, Any]]:
        lines = filter(None, map(str.strip, self.cleaned_data["inputs"].splitlines()))
        return dict(map(_input_reading, lines))

    def spec(self) -> dict[str, Any]:
        """The answers as `DatasetSpec` wants them: only what goes with the kind, and nothing that was left empty."""
        answers = self.cleaned_data
        kind = answers["kind"]
        spec = {name: answers[name] for name in ("kind", "task", "metric", "label", "output", "pooling")}
        spec["classes"] = words(answers["classes"])
        if kind != DatasetKind.TEXT:
            spec["training_share"] = answers["training_share"]
            spec["inputs"] = answers["inputs"]
        if answers["examples_stay"]:
            spec["examples_may_leave"] = False
        if kind in (DatasetKind.NPZ, DatasetKind.TABLE):
            spec["group"] = answers["group"]
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
        # Nothing may stand between a context and its choices; any other field left empty is as usual.
        return {name: value for name, value in answers.items() if name == "joint" or value not in (None, "")}


def _input_reading(line: str) -> tuple[str, dict[str, Any]]:
    """Input and `InputReading` of a line such as `state: constant 0, batch axis 1`. Raises `ValidationError`."""
    name, colon, rest = line.rpartition(":")
    parts = [_INPUT_PART.fullmatch(part) for part in words(rest)]
    if not colon or not name.strip() or not parts or not all(parts):
        raise forms.ValidationError(f"“{line}” is not of the form “input: constant 0, batch axis 1”.", code="invalid")
    said = {part["what"].replace(" ", "_"): part["value"].strip() for part in parts if part}
    return name.strip(), said
