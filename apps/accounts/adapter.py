"""Lathe's differences from allauth's defaults: accounts are created by invitation only."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.http import HttpRequest, HttpResponse

from apps.accounts.models import User
from apps.accounts.service_accounts import DOMAIN


class InvitationOnlyAdapter(DefaultAccountAdapter):
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Sign-up is closed; see `apps.accounts.services.register_by_invitation`."""
        return False

    def pre_login(self, request: HttpRequest, user: User, **options: Any) -> HttpResponse | None:
        """A service account never logs in, even if an operator gave it a password."""
        if user.is_service:
            inactive: HttpResponse = self.respond_user_inactive(request, user)
            return inactive
        answer: HttpResponse | None = super().pre_login(request, user, **options)
        return answer

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Uses the portal's own address in the mail, whatever host the request was sent to. A service account has no
        mailbox, so nobody can ask for a new password of one.
        """
        if email.endswith(f".{DOMAIN}"):
            return
        super().send_mail(template_prefix, email, {**context, "current_site": _Portal()})

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:
        """Counts wrong passwords per account. allauth would count them separately for each spelling of the host."""
        login: str = credentials.get("email") or credentials.get("username") or ""
        return f"portal:{login.lower()}"


class _Portal:
    """The attributes of a site that allauth's mails use."""

    name = "Lathe"

    @property
    def domain(self) -> str:
        return urlsplit(settings.LATHE.base_url).netloc

    def __str__(self) -> str:
        return self.domain
