"""What can be done to several tokens or service accounts at once. Each is checked and recorded as if it were alone."""

from __future__ import annotations

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from apps.accounts.models import ApiToken, Membership, User
from apps.accounts.service_accounts import change
from apps.accounts.tokens import revoke_token
from apps.bulk import Act


def _revoke(token: ApiToken, user: User) -> None:
    revoke_token(token, by=user)


def _disable(account: Membership, user: User) -> None:
    change(account, by=user, disabled=True)


def _enable(account: Membership, user: User) -> None:
    change(account, by=user, disabled=False)


TOKEN_ACTS: dict[str, Act[ApiToken]] = {
    "revoke": Act(
        "revoke",
        _("Revoke"),
        _("revoked"),
        _("Whatever uses it stops working immediately."),
        lambda token: "",
        _revoke,
        danger=True,
    )
}
SERVICE_ACCOUNT_ACTS: dict[str, Act[Membership]] = {
    "disable": Act(
        "disable",
        _("Disable"),
        _("disabled"),
        _("Its tokens end for good. It can be enabled again, and then needs new ones."),
        lambda account: "" if account.user.is_active else gettext("It is disabled already."),
        _disable,
        danger=True,
    ),
    "enable": Act(
        "enable",
        _("Enable"),
        _("enabled"),
        _("It can have tokens again. Those that it had stay ended."),
        lambda account: gettext("It is enabled already.") if account.user.is_active else "",
        _enable,
    ),
}
