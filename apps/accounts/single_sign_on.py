"""Logging in through an identity provider: for members, for invited people, and for people of trusted domains."""

from __future__ import annotations

import logging
from typing import Any, NoReturn

from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialLogin
from allauth.socialaccount.providers.base import AuthError
from django.conf import settings
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from apps.accounts.errors import AddressNotVerified, NotInvited, SingleSignOnFailed
from apps.accounts.models import Invitation, User
from apps.accounts.services import accept_open_invitations
from apps.audit import trail

logger = logging.getLogger(__name__)


class SingleSignOnAdapter(DefaultSocialAccountAdapter):
    """Lathe's differences from allauth's defaults. A person is found again by the provider's own id for them, and the
    first time by an address that the provider calls verified."""

    def populate_user(self, request: HttpRequest, sociallogin: SocialLogin, data: dict[str, Any]) -> User:
        """Keeps only the address of what the provider says about a person. Some providers write whether it is verified
        as a word, and the word “false” must not pass for true."""
        for address in sociallogin.email_addresses:
            address.verified = str(address.verified).lower() == "true"
        user: User = super().populate_user(request, sociallogin, data)
        user.email = user.email.lower()
        sociallogin.account.extra_data = {"email": user.email}
        return user

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Whether the person may log in. Raises `AddressNotVerified` or `NotInvited`."""
        if sociallogin.is_existing:
            _trust_address(sociallogin.user)
            return
        address = _verified_address(sociallogin)
        if address is None:
            raise AddressNotVerified(provider=identity_provider().name)
        if not _is_welcome(address):
            raise NotInvited(provider=identity_provider().name, email=address)

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        """`pre_social_login` has decided."""
        return True

    @transaction.atomic
    def save_user(self, request: HttpRequest, sociallogin: SocialLogin, form: Any = None) -> User:
        """A new account, already a member of the teams that invited the address."""
        user: User = super().save_user(request, sociallogin, form)
        trail.record("user.created", actor=user, subject=user.email, data={"by": identity_provider().name})
        accept_open_invitations(user)
        return user

    def send_notification_mail(self, *args: Any, **options: Any) -> None:
        """No mail about the first login through the provider: nobody can connect an account in another way."""

    def on_authentication_error(
        self,
        request: HttpRequest,
        provider: Any,
        error: str | None = None,
        exception: Exception | None = None,
        extra_context: dict[str, Any] | None = None,
    ) -> NoReturn:
        """Back to the login where the person has cancelled. Otherwise raises `SingleSignOnFailed`."""
        if error == AuthError.CANCELLED:
            messages.info(request, _("The login was cancelled."))
            raise ImmediateHttpResponse(redirect("account_login"))
        answer = request.GET.get("error", "")
        logger.warning("Single sign-on failed: %s %s", answer or error, exception or "", exc_info=exception)
        raise SingleSignOnFailed(provider=provider.name)


def identity_provider() -> Any:
    """The provider of the environment, by which somebody has just come."""
    found = settings.LATHE.single_sign_on
    assert found is not None, "without a provider, its addresses are 404"
    return found


def _verified_address(sociallogin: SocialLogin) -> str | None:
    return next((one.email.lower() for one in sociallogin.email_addresses if one.verified), None)


def _is_welcome(address: str) -> bool:
    """Whether an account may be made for the address."""
    if address.rpartition("@")[2] in identity_provider().domains:
        return True
    return Invitation.objects.open().filter(email=address).exists()


def _trust_address(user: User) -> None:
    """Notes that an account's own address is proven, as all of Lathe's are: an invitation or an operator has vouched
    for it. Otherwise allauth would take away the password of one that was made at a command line."""
    user.emailaddress_set.update_or_create(  # type: ignore[attr-defined]
        email=user.email, defaults={"verified": True, "primary": True}
    )
