"""Forms about models, and the base of every form with a file.

Services validate the rest. Forms about data sets are in `dataset_forms`.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from apps.accounts.models import Team, User
from apps.agents.contracts.phrasing import capitalized
from apps.models import vocabulary
from apps.models.approvals import LONGEST_REASON
from apps.models.models import ModelVersion, RegisteredModel, Upload


def words(text: str) -> list[str]:
    return [word for word in (part.strip() for part in text.split(",")) if word]


class FileOrUploadForm(forms.Form):
    """A file in the form itself, or the id of an upload that a script made from it."""

    file = forms.FileField(required=False, allow_empty_file=True, label=_("File"))
    upload = forms.UUIDField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    @property
    def upload_row(self) -> Upload | None:
        """The member's own upload that the form names, if it still exists."""
        value = self["upload"].value()
        try:
            pk = self.fields["upload"].clean(value)
        except forms.ValidationError:
            return None
        return Upload.objects.visible_to(self.user).filter(user=self.user, pk=pk).first() if pk else None

    def clean_upload(self) -> Upload | None:
        upload = self.upload_row
        if self.cleaned_data.get("upload") and upload is None:
            raise forms.ValidationError(_("The upload no longer exists. Choose the file again."), code="upload.unknown")
        return upload

    def add_error(self, field: str | None, error: Any) -> None:
        """An upload that is wrong is shown, and marked, at the file's field: its own is hidden."""
        super().add_error("file" if field == "upload" else field, error)

    def source(self) -> dict[str, Any]:
        """The arguments for services that accept a file."""
        return {"upload": self.cleaned_data["upload"], "file": self.cleaned_data["file"]}


class ModelUploadForm(FileOrUploadForm):
    model = forms.ModelChoiceField(
        queryset=RegisteredModel.objects.none(), required=False, empty_label=_("A new model"), label=_("Add to")
    )
    name = forms.CharField(
        label=_("Name"), required=False, max_length=120, help_text=_("For a new model. Unique within the team.")
    )
    tags = forms.CharField(label=_("Tags"), required=False, help_text=_("For a new model. Separated by commas."))
    description = forms.CharField(label=_("Description"), required=False, widget=forms.Textarea({"rows": 3}))

    field_order = ("file", "model", "name", "tags", "description")

    def __init__(self, *args: Any, team: Team, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["model"].queryset = RegisteredModel.objects.visible_to(self.user).filter(team=team)  # type: ignore[attr-defined]
        self.fields["file"].help_text = f"{capitalized(vocabulary.uploads())}."

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not cleaned.get("model") and not cleaned.get("name"):
            self.add_error("name", _("Enter a name for the new model, or choose the model to add this version to."))
        return cleaned

    @property
    def tag_list(self) -> list[str]:
        return words(self.cleaned_data["tags"])


class ModelForm(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=120)
    tags = forms.CharField(label=_("Tags"), required=False, help_text=_("Separated by commas."))
    description = forms.CharField(label=_("Description"), required=False, widget=forms.Textarea({"rows": 4}))
    readme = forms.CharField(
        required=False,
        label=_("README"),
        help_text=_(
            "In Markdown: what others should know before they use the model. It is a section of its model cards."
        ),
        widget=forms.Textarea({"rows": 12}),
    )

    @classmethod
    def of(cls, model: RegisteredModel) -> ModelForm:
        values = {"name": model.name, "description": model.description, "readme": model.readme}
        return cls(initial={**values, "tags": ", ".join(model.tags)})

    def values(self) -> dict[str, Any]:
        return {**self.cleaned_data, "tags": words(self.cleaned_data["tags"])}


class AliasForm(forms.Form):
    alias = forms.CharField(
        label=_("Alias"),
        max_length=60,
        widget=forms.TextInput({"list": "suggested-aliases", "autocapitalize": "none", "autocomplete": "off"}),
        help_text=_("Such as production or candidate."),
    )
    version = forms.ModelChoiceField(label=_("Version"), queryset=ModelVersion.objects.none(), empty_label=None)
    reason = forms.CharField(label=_("Reason"), required=False, help_text=_("Recorded in the history."))

    def __init__(self, *args: Any, versions: QuerySet[ModelVersion], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["version"].queryset = versions  # type: ignore[attr-defined]


class DecisionForm(forms.Form):
    """About a request to move a protected alias."""

    decision = forms.ChoiceField(label=_("Decision"), choices=[("approve", _("Approve")), ("reject", _("Reject"))])
    reason = forms.CharField(
        label=_("Reason"),
        max_length=LONGEST_REASON,
        error_messages={"required": _("Write the reason of your decision.")},
    )
