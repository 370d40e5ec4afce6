"""The columns of members, service accounts, tokens and logins, in lists and CSV files."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from apps.accounts.models import ApiToken, Login, Membership
from apps.listings import Column, Kind, Listing, offer
from apps.tables import Columns

MEMBERS: Columns[Membership] = {
    "id": lambda member: member.pk,
    "name": lambda member: member.user,
    "email": lambda member: member.user.email,
    "role": lambda member: member.role,
    "may_upload_code": lambda member: member.may_upload_code,
    "joined_at": lambda member: member.joined_at,
}
SERVICE_ACCOUNTS: Columns[Membership] = {
    "id": lambda account: account.pk,
    "name": lambda account: account.user,
    "role": lambda account: account.role,
    "disabled": lambda account: not account.user.is_active,
    "created_at": lambda account: account.joined_at,
}
TOKENS: Columns[ApiToken] = {
    "name": lambda token: token.name,
    "begins_with": lambda token: token.token_key[:8],
    "team": lambda token: token.team,
    "scope": lambda token: token.scope,
    "created_at": lambda token: token.created,
    "expires_at": lambda token: token.expiry,
    "last_used_at": lambda token: token.last_used_at,
    "last_address": lambda token: token.last_address,
}
LOGINS: Columns[Login] = {
    "id": lambda login: login.pk,
    "device": lambda login: login.device,
    "address": lambda login: login.address,
    "seen_at": lambda login: login.seen_at,
    "began_at": lambda login: login.began_at,
}

LIST_OF_MEMBERS = offer(
    Listing(
        "members",
        "accounts:team",
        "members",
        (
            Column("name", _("Name"), ordering="name", by=("user__first_name", "user__last_name", "user__email")),
            Column("email", _("E-mail address"), ordering="email", by=("user__email",)),
            Column("role", _("Role"), ordering="role"),
            Column("code", _("Code"), ordering="may_upload_code"),
            Column("since", _("Since"), ordering="joined_at", kind=Kind.TIME),
        ),
        usual="email",
    )
)
LIST_OF_SERVICE_ACCOUNTS = offer(
    Listing(
        "service-accounts",
        "accounts:service-accounts",
        "service-accounts",
        (
            Column("name", _("Name"), ordering="name", by=("user__first_name",)),
            Column("role", _("Role"), ordering="role"),
            Column("state", _("State"), ordering="disabled", by=("-user__is_active",)),
            Column("since", _("Since"), ordering="created_at", by=("joined_at",), kind=Kind.TIME),
        ),
        usual="name",
    )
)
LIST_OF_TOKENS = offer(
    Listing(
        "tokens",
        "accounts:tokens",
        "token-results",
        (
            Column("name", _("Name"), ordering="name"),
            Column("begins", _("Begins with")),
            Column("scope", _("Scope"), ordering="scope"),
            Column("created", _("Created"), usual=False, ordering="created", kind=Kind.TIME),
            Column("expires", _("Expires"), ordering="expiry", kind=Kind.TIME),
            Column("used", _("Last used"), ordering="last_used_at", kind=Kind.TIME),
        ),
        usual="-created",
    )
)
LIST_OF_LOGINS = Listing(
    "logins",
    "accounts:logins",
    "logins",
    (
        Column("device", _("Device"), ordering="device"),
        Column("address", _("Address"), ordering="address"),
        Column("seen", _("Last seen"), ordering="seen_at", kind=Kind.TIME),
        Column("since", _("Since"), ordering="began_at", kind=Kind.TIME),
    ),
    usual="-seen_at",
)
"""A handful of one's own: all of its columns are shown, and it keeps no filters."""
