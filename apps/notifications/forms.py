"""Forms of channels. The services check what the fields mean together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.notifications import kinds
from apps.notifications.models import LONGEST_ADDRESS, Channel, Digest, Medium

if TYPE_CHECKING:
    from django.utils.functional import Promise
    from django_stubs_ext import StrOrPromise

TIME = {"type": "time"}


class TimesForm(forms.Form):
    """When a channel that people read may disturb them."""

    digest = forms.ChoiceField(
        label=_("Send"), choices=Digest.choices, initial=Digest.NONE, help_text=_("Together: one message for all.")
    )
    quiet_from = forms.TimeField(label=_("Quiet from"), required=False, widget=forms.TimeInput(TIME, format="%H:%M"))
    quiet_until = forms.TimeField(
        label=_("Quiet until"),
        required=False,
        widget=forms.TimeInput(TIME, format="%H:%M"),
        help_text=_("What arises in between goes out afterwards."),
    )
    time_zone = forms.CharField(
        label=_("Time zone"),
        max_length=60,
        initial="UTC",
        widget=forms.TextInput({"list": "time-zones"}),
        help_text=_("Such as Europe/Berlin."),
    )


class OwnForm(TimesForm):
    """A member's bell and e-mail: which kinds go where, and when mail is sent."""

    field_order = ("bell", "email", "mine_only", "digest", "quiet_from", "quiet_until", "time_zone")

    bell = forms.MultipleChoiceField(label=_("Bell"), required=False)
    email = forms.MultipleChoiceField(label=_("E-mail"), required=False)
    mine_only = forms.BooleanField(
        label=_("Mail only about my own sessions and uploads, and about the team as a whole"), required=False
    )

    def __init__(self, data: Any = None, *, bell: Channel, mail: Channel) -> None:
        super().__init__(data, initial=initial_of(mail) | {"bell": bell.kinds, "email": mail.kinds})
        for name, channel in (("bell", bell), ("email", mail)):
            cast(forms.MultipleChoiceField, self.fields[name]).choices = _choices(channel)
        if mail.team_id is None:
            del self.fields["mine_only"]


class ChannelForm(TimesForm):
    """A webhook, a chat, or a team's e-mail address."""

    field_order = ("name", "address", "kinds", "mine_only", "enabled")

    name = forms.CharField(label=_("Name"), max_length=80, help_text=_("As lists and the audit trail call it."))
    address = forms.CharField(label=_("Address"), max_length=LONGEST_ADDRESS)
    kinds = forms.MultipleChoiceField(
        label=_("What it carries"),
        widget=forms.CheckboxSelectMultiple,
        required=False,
    )
    mine_only = forms.BooleanField(label=_("Only about my own sessions and uploads"), required=False)
    enabled = forms.BooleanField(label=_("Switched on"), required=False, initial=True)

    def __init__(self, data: Any = None, *, channel: Channel) -> None:
        """`channel` is the one to change, or an unsaved one to add."""
        super().__init__(data, initial=initial_of(channel))
        medium = Medium(channel.medium)
        cast(forms.MultipleChoiceField, self.fields["kinds"]).choices = _choices(channel)
        self.fields["address"].help_text = _ADDRESS_HELP[medium]
        if medium is Medium.WEBHOOK:
            del self.fields["digest"]
        if channel.user_id is None or channel.team_id is None:
            del self.fields["mine_only"]
        if channel.pk is None:
            del self.fields["enabled"]


_ADDRESS_HELP: dict[Medium, StrOrPromise] = {
    Medium.WEBHOOK: _("An https:// address that takes POST requests."),
    Medium.CHAT: _("An address of Apprise, such as slack://…, workflows://… (Teams) or matrixs://…"),
    Medium.EMAIL: _("An e-mail address, such as that of a mailing list."),
    Medium.BELL: "",
}


def _choices(channel: Channel) -> list[tuple[str, Promise]]:
    return [(name, kinds.KINDS[name].label) for name in channel.offered]


def initial_of(channel: Channel) -> dict[str, Any]:
    """The channel's values for a form."""
    names = ("name", "address", "kinds", "mine_only", "enabled", "digest", "quiet_from", "quiet_until", "time_zone")
    return {name: getattr(channel, name) for name in names}
