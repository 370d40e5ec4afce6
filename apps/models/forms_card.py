"""The form of the sections of a model's cards that members write."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.agents.contracts.reports.card import CardTexts
from apps.models.models import EditedCard


def _section(label: Any, help_text: Any) -> forms.CharField:
    return forms.CharField(label=label, help_text=help_text, required=False, widget=forms.Textarea({"rows": 6}))


class CardForm(forms.Form):
    intended_use = _section(_("Intended use"), _("What the model is for, who should use it, and what it is not for."))
    training_data = _section(_("Training data"), _("What the original was trained on, and where that comes from."))
    limitations = _section(_("Limitations"), _("Where the model is known to fail, and what to do about it."))
    ethical_considerations = _section(
        _("Ethical considerations"), _("Whom a wrong answer may harm, and what speaks against its use.")
    )
    contacts = _section(_("Contacts"), _("Who answers questions, and takes reports of faults."))
    revision = forms.IntegerField(widget=forms.HiddenInput, min_value=0)
    """Of the card that the member has read."""

    @classmethod
    def of(cls, card: EditedCard) -> CardForm:
        return cls(initial={**card.texts.model_dump(), "revision": card.revision})

    @property
    def texts(self) -> CardTexts:
        """What stands in the form, whether or not it can be saved."""
        return CardTexts(**{name: self[name].value() or "" for name in CardTexts.model_fields})

    def read_anew(self, revision: int) -> None:
        """Lets the next save replace the card of `revision`, which the page shows beside the answers."""
        self.data = {name: self[name].value() for name in self.fields} | {"revision": revision}
