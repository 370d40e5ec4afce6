"""Starting a session: which model, which data set, which criteria."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from apps.accounts.models import Team, User
from apps.agents.contracts.criteria import Criteria
from apps.models.models import DataSet, ModelVersion
from apps.optimization.edited_plan import PlanEditsField
from apps.optimization.forms.criteria import OwnCriteriaForm
from apps.optimization.forms.many_choices import SearchedChoiceField, VersionField
from apps.optimization.models import CriteriaSet


class SessionForm(forms.Form):
    """The request that starts a session: a model, a data set and criteria."""

    version = VersionField("model__name", "filename", label=_("Model"), empty_label=_("Choose a model"))
    dataset = SearchedChoiceField("name", "filename", label=_("Data set"), empty_label=_("Choose a data set"))
    student = VersionField(
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
        versions = versions.select_related("model__team", "metadata")
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
