"""What a member can do on any page."""

from __future__ import annotations

from collections.abc import Iterator

from django.urls import reverse
from django.utils.translation import get_language, get_language_info, gettext

from apps.accounts.requests import MemberRequest, writes
from apps.guide.actions.action import Action
from apps.languages import languages
from apps.notifications.bell import unread


def anywhere(request: MemberRequest) -> Iterator[Action]:
    if number := unread(request.user):
        yield Action(
            gettext("Mark all notifications as read"),
            gettext("{number} unread").format(number=number),
            reverse("notifications:read"),
            posts=True,
            name="all",
            value="1",
        )
    yield Action(
        gettext("Create an API token"), gettext("Access for a program of yours"), _form_of("tokens", "id_name")
    )
    yield Action(gettext("Light or dark"), gettext("Switch the colours of all pages"), "", script="theme")
    yield from _other_languages()
    yield from _other_teams(request)
    if writes(request, request.team):
        tour = reverse("guide:tour")
        yield Action(
            gettext("Take the tour"), gettext("From its beginning"), tour, posts=True, name="move", value="anew"
        )
    yield Action(gettext("Keyboard shortcuts"), gettext("All keys, and the switch for them"), "", script="shortcuts")
    yield Action(gettext("Log out"), gettext("In this browser"), reverse("account_logout"), posts=True)


def _form_of(page: str, field: str) -> str:
    return f"{reverse(f'accounts:{page}')}#{field}"


def _other_languages() -> Iterator[Action]:
    for code, name in languages().items():
        if code != get_language():
            title = gettext("Language: {language}").format(language=name)
            known = get_language_info(code)["name_translated"]
            yield Action(title, known, reverse("set_language"), posts=True, name="language", value=code)


def _other_teams(request: MemberRequest) -> Iterator[Action]:
    for one in request.memberships:
        if one.team != request.team:
            title = gettext("Work in {team}").format(team=one.team)
            switch = reverse("accounts:team-switch")
            yield Action(title, gettext("Another team of yours"), switch, posts=True, name="team", value=one.team.slug)
