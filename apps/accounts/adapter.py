"""Where Lathe differs from allauth's defaults: accounts are made by invitation only."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.http import HttpRequest


class InvitationOnlyAdapter(DefaultAccountAdapter):
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Nobody signs up by themselves; see `apps.accounts.services.register_by_invitation`."""
        return False

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """A mail names the portal as its members know it, whatever host the request was sent to."""
        super().send_mail(template_prefix, email, {**context, "current_site": _Portal()})

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:
        """Wrong passwords count for the account: allauth counts them anew for each spelling of the host."""
        login: str = credentials.get("email") or credentials.get("username") or ""
        return f"portal:{login.lower()}"


class _Portal:
    """What allauth's mails ask of a site."""

    name = "Lathe"

    @property
    def domain(self) -> str:
        return urlsplit(settings.LATHE.base_url).netloc

    def __str__(self) -> str:
        return self.domain
