"""Authentication for automation, `Authorization: Bearer <token>`, and for people, by password."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from allauth.account.auth_backends import AuthenticationBackend
from django.contrib.auth.backends import ModelBackend
from django.utils import timezone
from knox.auth import TokenAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import SAFE_METHODS, BasePermission

from apps.accounts.models import ApiToken, TokenScope

if TYPE_CHECKING:
    from django.http import HttpRequest
    from rest_framework.request import Request
    from rest_framework.views import APIView

    from apps.accounts.models import User

LAST_USED_RESOLUTION = timedelta(minutes=1)


class PeopleOnly:
    """A mixin for backends of pages: a service account never logs in, even if an operator gave it a password."""

    def user_can_authenticate(self, user: Any) -> bool:
        allowed: bool = super().user_can_authenticate(user)  # type: ignore[misc]
        return allowed and not user.is_service


class PasswordBackend(PeopleOnly, ModelBackend):
    """Django's own."""


class EmailBackend(PeopleOnly, AuthenticationBackend):
    """allauth's."""


class ApiTokenAuthentication(TokenAuthentication):
    """Knox's check of digest and expiry. Also records when, to the minute, and from where a token was last used."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        try:
            answer: tuple[User, ApiToken] | None = super().authenticate(request)
        except UnicodeDecodeError:
            raise AuthenticationFailed("The token is malformed: tokens contain only letters and digits.") from None
        if answer is not None:
            user, token = answer
            user.token = token
            _note_use(token, address_of(request))
        return answer


def address_of(request: HttpRequest | Request) -> str | None:
    """The client's address; `None` for a socket, which has none."""
    with suppress(ValueError):
        return str(ip_address(request.META.get("REMOTE_ADDR", "")))
    return None


def _note_use(token: ApiToken, address: str | None) -> None:
    now = timezone.now()
    recent = token.last_used_at is not None and now - token.last_used_at <= LAST_USED_RESOLUTION
    if not recent or token.last_address != address:
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=now, last_address=address)


class TokenScopeAllows(BasePermission):
    """A read-only token cannot write, whatever its member's role allows. Browser sessions have no scope."""

    message = "This token is read-only. Create one with the scope “write”."

    def has_permission(self, request: Request, view: APIView) -> bool:
        token: Any = request.auth
        if not isinstance(token, ApiToken) or request.method in SAFE_METHODS:
            return True
        return token.scope == TokenScope.WRITE
