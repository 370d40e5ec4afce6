"""Two versions of a model, one to be proven against the other."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _

from apps.optimization.forms.many_choices import VersionField
from apps.optimization.forms.starting import SessionForm


class StandingVersionField(VersionField):
    """Versions by their aliases, too: people know the one that stands as *production*."""

    SHOWN_WITH = ("aliases",)

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
