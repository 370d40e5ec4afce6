"""The current team of a user, and the time zone and language of their pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import unquote

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone, translation
from django.utils.functional import SimpleLazyObject

from apps.accounts.models import Membership, User
from apps.ids import bind_ids
from apps.languages import language_of, languages
from apps.zones import COOKIE, zone_of, zones

SESSION_KEY = "team"
API = "/api/"


def memberships_of(request: HttpRequest) -> list[Membership]:
    """The user's memberships, in the order of the teams' names."""
    if not request.user.is_authenticated:
        return []
    return list(Membership.objects.filter(user=request.user).select_related("team").order_by("team__name"))


def current_membership(request: HttpRequest, memberships: Sequence[Membership]) -> Membership | None:
    """The one in the last chosen team, or in the first team by name; `None` without a team."""
    chosen: int | None = request.session.get(SESSION_KEY) if memberships else None
    found = next((one for one in memberships if one.team_id == chosen), next(iter(memberships), None))
    if found is not None:
        bind_ids(team=found.team_id)
    return found


class CurrentTeamMiddleware:
    """Sets `request.memberships`, `request.membership` and `request.team`, all falsy for users without a team. They are
    looked up on first use.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        memberships: Any = SimpleLazyObject(lambda: memberships_of(request))
        request.memberships = memberships  # type: ignore[attr-defined]
        request.membership = SimpleLazyObject(  # type: ignore[attr-defined]
            lambda: current_membership(request, memberships)
        )
        request.team = SimpleLazyObject(lambda: getattr(request.membership, "team", None))  # type: ignore[attr-defined]
        return self.get_response(request)


class MemberTimeZone:
    """Shows times in the member's zone. Where none has been chosen yet, the browser's becomes it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        user = request.user
        named = unquote(request.COOKIES.get(COOKIE, ""))
        if isinstance(user, User) and not user.time_zone and named in zones():
            User.objects.filter(pk=user.pk, time_zone="").update(time_zone=named)
            user.time_zone = named
        with timezone.override(zone_of(user)):
            return self.get_response(request)


class MemberLanguage:
    """Shows pages in the member's language, and the API, which programs read, in English.

    Visitors get the language that Django's `LocaleMiddleware` has found: in their cookie, or else in their browser's
    header. Where a member has none yet, that becomes theirs.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        language = _language(request)
        with translation.override(language):
            request.LANGUAGE_CODE = language
            response = self.get_response(request)
        response.headers["Content-Language"] = language
        return response


def _language(request: HttpRequest) -> str:
    user, found = request.user, translation.get_language() or settings.LANGUAGE_CODE
    if request.path.startswith(API):
        return settings.LANGUAGE_CODE
    if not isinstance(user, User):
        return found
    if not user.language and _tells_a_language(request) and found in languages():
        User.objects.filter(pk=user.pk, language="").update(language=found)
        user.language = found
    return language_of(user)


def _tells_a_language(request: HttpRequest) -> bool:
    return settings.LANGUAGE_COOKIE_NAME in request.COOKIES or "Accept-Language" in request.headers
