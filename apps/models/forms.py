"""What members fill in on the store's pages. The services check the rest."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db.models import QuerySet

from apps.accounts.models import Team, User
from apps.agents.dataset_spec import METRICS, DatasetKind, ImagePreprocessing
from apps.agents.reports import Task
from apps.models.models import ModelVersion, RegisteredModel, Upload

KIND_LABELS = {
    DatasetKind.NPZ: "Arrays (.npz)",
    DatasetKind.IMAGES: "Images in class folders (.zip)",
    DatasetKind.TABLE: "Table (.csv or .parquet)",
}
TASK_LABELS = {
    Task.CLASSIFICATION: "Classification",
    Task.REGRESSION: "Regression",
    Task.EMBEDDING: "Embedding",
    Task.FIDELITY: "Fidelity: no labels, agreement with the original",
}
_PREPROCESSING = ImagePreprocessing()


def _words(text: str) -> list[str]:
    return [word for word in (part.strip() for part in text.split(",")) if word]


class FileOrUploadForm(forms.Form):
    """A file in the form itself, or the id of an upload that a script has made of it."""

    file = forms.FileField(required=False, allow_empty_file=True, label="File")
    upload = forms.UUIDField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    @property
    def upload_row(self) -> Upload | None:
        """The member's own upload that the form names, as long as it is there."""
        value = self["upload"].value()
        try:
            pk = self.fields["upload"].clean(value)
        except forms.ValidationError:
            return None
        return Upload.objects.visible_to(self.user).filter(user=self.user, pk=pk).first() if pk else None

    def clean_upload(self) -> Upload | None:
        upload = self.upload_row
        if self.cleaned_data.get("upload") and upload is None:
            raise forms.ValidationError("The upload is gone. Choose the file again.", code="upload.unknown")
        return upload

    def source(self) -> dict[str, Any]:
        """The arguments of the services that take a file."""
        return {"upload": self.cleaned_data["upload"], "file": self.cleaned_data["file"]}


class ModelUploadForm(FileOrUploadForm):
    model = forms.ModelChoiceField(
        queryset=RegisteredModel.objects.none(), required=False, empty_label="A new model", label="Add to"
    )
    name = forms.CharField(required=False, max_length=120, help_text="For a new model. Unique in the team.")
    tags = forms.CharField(required=False, help_text="For a new model. Separated by commas.")
    description = forms.CharField(required=False, widget=forms.Textarea({"rows": 3}))

    field_order = ("file", "model", "name", "tags", "description")

    def __init__(self, *args: Any, team: Team, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["model"].queryset = RegisteredModel.objects.visible_to(self.user).filter(team=team)  # type: ignore[attr-defined]
        self.fields["file"].help_text = "An .onnx file, or a .zip with one and its external data."

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not cleaned.get("model") and not cleaned.get("name"):
            self.add_error("name", "Give the new model a name, or choose the model that this is a version of.")
        return cleaned

    @property
    def tag_list(self) -> list[str]:
        return _words(self.cleaned_data["tags"])


class ModelForm(forms.Form):
    name = forms.CharField(max_length=120)
    tags = forms.CharField(required=False, help_text="Separated by commas.")
    description = forms.CharField(required=False, widget=forms.Textarea({"rows": 4}))

    @classmethod
    def of(cls, model: RegisteredModel) -> ModelForm:
        return cls(initial={"name": model.name, "tags": ", ".join(model.tags), "description": model.description})

    def answers(self) -> dict[str, Any]:
        return {**self.cleaned_data, "tags": _words(self.cleaned_data["tags"])}


class AliasForm(forms.Form):
    alias = forms.CharField(
        max_length=60,
        widget=forms.TextInput({"list": "suggested-aliases", "autocapitalize": "none", "autocomplete": "off"}),
        help_text="Such as production or candidate.",
    )
    version = forms.ModelChoiceField(queryset=ModelVersion.objects.none(), empty_label=None)
    reason = forms.CharField(required=False, help_text="Kept in the history.")

    def __init__(self, *args: Any, versions: QuerySet[ModelVersion], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["version"].queryset = versions  # type: ignore[attr-defined]


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
    classes = forms.CharField(
        required=False, help_text="Names in the order of the model's output, separated by commas. May stay empty."
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
    columns = forms.CharField(
        required=False,
        widget=forms.Textarea({"rows": 3, "placeholder": "input: width, height, depth"}),
        help_text="A line for each model input, with its feature columns. Empty: all columns in file order.",
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

    def image_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in self.IMAGE_FIELDS]

    def _numbers(self, name: str) -> list[float]:
        try:
            return [float(word) for word in _words(self.cleaned_data.get(name) or "")]
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
            if not colon or not _words(columns):
                raise forms.ValidationError(f"“{line}” is not of the form “input: column, column”.", code="invalid")
            groups[name.strip()] = _words(columns)
        return groups

    def spec(self) -> dict[str, Any]:
        """The answers as `DatasetSpec` wants them: only what goes with the kind, and nothing that was left empty."""
        answers = self.cleaned_data
        kind = answers["kind"]
        spec = {name: answers[name] for name in ("kind", "task", "metric", "label", "output", "pooling")}
        spec["classes"] = _words(answers["classes"])
        if kind == DatasetKind.NPZ:
            spec["pairs"] = answers["pairs"]
        if kind == DatasetKind.TABLE:
            spec["columns"] = answers["columns"]
        if kind == DatasetKind.IMAGES:
            spec["images"] = {name: answers[name] for name in self.IMAGE_FIELDS if answers[name] not in (None, "", [])}
        return {name: value for name, value in spec.items() if value not in (None, "", [], {})}
