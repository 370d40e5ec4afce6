"""Settings: a member's bell and e-mail, and further channels of members and teams."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.accounts.errors import NoTeam
from apps.accounts.forms import show_error
from apps.accounts.models import Role, Team
from apps.accounts.requests import MemberRequest
from apps.accounts.services import require_role
from apps.errors import UserError
from apps.notifications import kinds, services
from apps.notifications.forms import ChannelForm, OwnForm
from apps.notifications.models import Channel, Medium
from apps.zones import zones

DELIVERIES = 20
INSTALLATION = "installation"
"""The value of `about` in the addresses of pages about the installation, and not about a team."""
ADDABLE = (Medium.WEBHOOK, Medium.CHAT)


@require_http_methods(["GET", "POST"])
def own(request: MemberRequest) -> HttpResponse:
    """A member's own settings in the team they work in, or with `about=installation` an operator's."""
    team = _team_of(request)
    bell, mail = (services.own_channel(request.user, team, one) for one in (Medium.BELL, Medium.EMAIL))
    form = OwnForm(request.POST if request.method == "POST" else None, bell=bell, mail=mail)
    if request.method == "POST" and form.is_valid():
        answers = form.cleaned_data
        bell_kinds, mail_kinds = answers.pop("bell"), answers.pop("email")
        try:
            with transaction.atomic():
                services.change_channel(request.user, mail, kinds=mail_kinds, **answers)
                services.change_channel(request.user, bell, kinds=bell_kinds)
        except UserError as error:
            show_error(form, error)
        else:
            messages.success(request, _("Saved."))
            return redirect(mail.settings_path)
    return _own_page(request, form, bell, mail)


def _team_of(request: MemberRequest) -> Team | None:
    """The team that the member works in; `None` for the installation, which an operator without a team always means.
    Raises `NoTeam` and `PermissionDenied`.
    """
    asked = request.POST.get("about") or request.GET.get("about")
    if asked == INSTALLATION or (request.user.is_staff and not request.team):
        services.require_operator(request.user)
        return None
    if not request.team:
        raise NoTeam()
    return request.team


def _own_page(request: MemberRequest, form: OwnForm, bell: Channel, mail: Channel) -> HttpResponse:
    team = mail.team
    visible = Channel.objects.visible_to(request.user).filter(team=team).select_related("user")
    chosen = {name: form[name].value() or [] for name in ("bell", "email")}
    rows = [
        {"kind": kinds.KINDS[name], "bell": name in chosen["bell"], "email": name in chosen["email"]}
        for name in bell.offered
    ]
    context = {
        "form": form,
        "rows": rows,
        "mail": mail,
        "mine": [one for one in visible if one.user_id and not one.is_fixed],
        "ours": [one for one in visible if not one.user_id],
        "owns": team is None or request.membership.may(Role.OWNER),
        "team": team,
        "about": "" if team else f"&about={INSTALLATION}",
        "operates": request.user.is_staff,
        "time_zones": zones(),
    }
    return render(request, "notifications/settings.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
def new(request: MemberRequest) -> HttpResponse:
    """A further channel of the member, or with `for=team` of the team; with `about=installation` of the operator, or
    of all operators.
    """
    team = _team_of(request)
    asked = request.POST if request.method == "POST" else request.GET
    for_team = asked.get("for") == "team"
    if for_team and team:
        require_role(request.user, team, Role.OWNER)
    addable = [*ADDABLE, Medium.EMAIL] if for_team else ADDABLE
    medium = next((one for one in addable if one == asked.get("medium")), Medium.WEBHOOK)
    started = Channel(team=team, user=None if for_team else request.user, medium=medium)
    started.kinds = list(kinds.preset(installation=team is None))
    form = ChannelForm(request.POST if request.method == "POST" else None, channel=started)
    if request.method == "POST" and form.is_valid():
        try:
            channel = services.add_channel(request.user, team, medium, for_team=for_team, **form.cleaned_data)
        except UserError as error:
            show_error(form, error)
        else:
            messages.success(request, _("Added. Send a test message to see whether it works."))
            return redirect(channel)
    context = {"form": form, "medium": medium, "for_team": for_team, "team": team, "time_zones": zones()}
    return render(request, "notifications/channel_new.html", context, status=422 if form.errors else 200)


def _visible(request: MemberRequest, pk: int) -> Channel:
    return get_object_or_404(Channel.objects.visible_to(request.user).select_related("team", "user"), pk=pk)


@never_cache
@require_GET
def detail(request: MemberRequest, pk: int) -> HttpResponse:
    return _page(request, _visible(request, pk))


def _page(request: MemberRequest, channel: Channel, form: ChannelForm | None = None, status: int = 200) -> HttpResponse:
    changes = services.may_change(request.user, channel)
    context: dict[str, Any] = {"channel": channel, "changes": changes, "time_zones": zones()}
    if changes and not channel.is_fixed:
        context["form"] = form or ChannelForm(channel=channel)
    deliveries = channel.deliveries.select_related("notification", "replays").prefetch_related("attempts")
    context["deliveries"] = deliveries[:DELIVERIES]
    return render(request, "notifications/channel.html", context, status=status)


@require_POST
def change(request: MemberRequest, pk: int) -> HttpResponse:
    channel = _visible(request, pk)
    services.require_change(request.user, channel)
    form = ChannelForm(request.POST, channel=channel)
    if not form.is_valid():
        return _page(request, channel, form, 422)
    try:
        services.change_channel(request.user, channel, **form.cleaned_data)
    except UserError as error:
        show_error(form, error)
        return _page(request, channel, form, error.status)
    messages.success(request, _("Saved."))
    return redirect(channel)


@require_POST
def delete(request: MemberRequest, pk: int) -> HttpResponse:
    channel = _visible(request, pk)
    services.remove_channel(request.user, channel)
    messages.success(request, _("The channel “{name}” was removed.").format(name=channel.name))
    return redirect(channel.settings_path)


@require_POST
def rotate(request: MemberRequest, pk: int) -> HttpResponse:
    channel = services.rotate_secret(request.user, _visible(request, pk))
    messages.success(request, _("There is a new secret. Messages are signed with both for a day."))
    return redirect(channel)


@require_POST
def test(request: MemberRequest, pk: int) -> HttpResponse:
    channel = _visible(request, pk)
    services.test_channel(request.user, channel)
    messages.success(request, _("A test message is on its way. Its result appears below."))
    return redirect(channel)
