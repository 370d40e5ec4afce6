"""Logging in through an identity provider, over real HTTP between portal and provider."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from allauth.socialaccount.models import SocialAccount, SocialToken
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from apps.accounts.models import Invitation, Membership, Role, Team, TokenScope, User
from apps.accounts.services import create_token, invite
from apps.audit.models import AuditEvent
from lathe import single_sign_on
from lathe.doctor import front
from lathe.doctor.findings import State
from lathe.env import Environment, SingleSignOn, WrongVariable
from tests.accounts.identity_provider import CLIENT_ID, CLIENT_SECRET, IdentityProvider, identity_provider

pytestmark = [pytest.mark.django_db, pytest.mark.portable]

NEWCOMER = "ada@example.org"


@pytest.fixture
def provider(settings: Any) -> Iterator[IdentityProvider]:
    with identity_provider() as provider:
        given = SingleSignOn(provider.address, CLIENT_ID, CLIENT_SECRET, "Example ID", ("trusted.example",))
        settings.LATHE = dataclasses.replace(settings.LATHE, single_sign_on=given)
        settings.SOCIALACCOUNT_PROVIDERS = single_sign_on.providers(given)
        yield provider


def known(email: str, *, verified: Any = True, sub: str = "0815") -> dict[str, Any]:
    return {"sub": sub, "email": email, "email_verified": verified, "name": "Ada Lovelace", "groups": ["secret"]}


def login(client: Client, wanted: str = "") -> Any:
    """The answer of the portal to whoever comes back from the provider."""
    begun = client.get(reverse("openid_connect_login", args=["sso"]), {"next": wanted} if wanted else {})
    assert begun.status_code == 302, begun.content
    returned = requests.get(begun.headers["Location"], allow_redirects=False, timeout=5)
    return client.get(returned.headers["Location"])


def who(client: Client) -> str | None:
    key = client.session.get("_auth_user_id")
    return None if key is None else User.objects.get(pk=key).email


# --- who gets in ------------------------------------------------------------------------------------------------------


def test_a_member_gets_to_the_page_they_wanted(client: Client, engineer: User, provider: IdentityProvider) -> None:
    provider.person = known(engineer.email.upper())
    wanted = reverse("accounts:tokens")
    page = client.get(f"{reverse('account_login')}?next={wanted}")
    assert f'href="{reverse("openid_connect_login", args=["sso"])}?next=' in page.content.decode()
    assert b"Log in with Example ID" in page.content
    assert login(client, wanted).headers["Location"] == wanted
    assert who(client) == engineer.email


def test_who_was_there_once_is_recognized_by_the_providers_id(
    client: Client, engineer: User, owner: User, provider: IdentityProvider
) -> None:
    provider.person = known(engineer.email)
    login(client)
    client.logout()
    provider.person = known(owner.email)
    login(client)
    assert who(client) == engineer.email, "the address has changed there, the person has not"


def test_a_password_is_kept(client: Client, engineer: User, password: str, provider: IdentityProvider) -> None:
    assert not engineer.emailaddress_set.exists(), "as after `createsuperuser`"
    provider.person = known(engineer.email)
    login(client)
    engineer.refresh_from_db()
    assert engineer.check_password(password)


def test_who_is_invited_joins_with_the_first_login(
    client: Client, owner: User, team: Team, provider: IdentityProvider
) -> None:
    invite(by=owner, team=team, email=NEWCOMER, role=Role.ENGINEER)
    provider.person = known(NEWCOMER)
    assert login(client).status_code == 302
    member = Membership.objects.get(team=team, user__email=NEWCOMER)
    assert (member.role, member.user.get_full_name()) == (Role.ENGINEER, "Ada Lovelace")
    assert not member.user.has_usable_password()
    assert not Invitation.objects.open().exists()
    events = AuditEvent.objects.filter(subject=NEWCOMER).values_list("action", flat=True)
    assert {"user.created", "member.joined"} <= set(events)
    assert client.get(reverse("optimization:dashboard")).status_code == 200


def test_an_invitations_page_offers_the_provider(
    client: Client,
    owner: User,
    team: Team,
    mailoutbox: Any,
    provider: IdentityProvider,
    django_capture_on_commit_callbacks: Any,
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        invite(by=owner, team=team, email=NEWCOMER, role=Role.VIEWER)
    link = next(word for word in mailoutbox[0].body.split() if "/invitations/" in word)
    assert b"Log in with Example ID" in client.get(link[link.index("/invitations/") :]).content


def test_the_login_says_who_needs_no_invitation(client: Client, provider: IdentityProvider) -> None:
    page = client.get(reverse("account_login")).content.decode()
    assert "People of trusted.example get an account when they log in with Example ID." in page
    assert "Accounts are created by invitation." not in page


def test_a_trusted_domain_gets_an_account_without_a_team(client: Client, provider: IdentityProvider) -> None:
    provider.person = known("new@trusted.example")
    login(client)
    assert who(client) == "new@trusted.example"
    assert not Membership.objects.exists()
    assert client.get(reverse("optimization:dashboard")).status_code == 200


def test_nothing_else_of_what_the_provider_says_is_kept(
    client: Client, engineer: User, provider: IdentityProvider
) -> None:
    provider.person = known(engineer.email)
    login(client)
    assert SocialAccount.objects.get().extra_data == {"email": engineer.email}
    assert not SocialToken.objects.exists()


# --- who stays outside ------------------------------------------------------------------------------------------------


def test_who_is_not_invited_is_told_whom_to_ask(client: Client, provider: IdentityProvider) -> None:
    provider.person = known(NEWCOMER)
    answer = login(client)
    assert answer.status_code == 403
    assert b"login.not_invited" in answer.content
    assert b"invite ada@example.org" in answer.content
    assert not User.objects.exists()


@pytest.mark.parametrize("verified", [False, None, "false", "no", 0])
def test_an_address_that_is_not_verified_opens_nobodys_account(
    client: Client, engineer: User, verified: Any, provider: IdentityProvider
) -> None:
    provider.person = known(engineer.email, verified=verified)
    answer = login(client)
    assert (answer.status_code, who(client)) == (403, None)
    assert b"login.address_not_verified" in answer.content


def test_some_providers_write_true_as_a_word(client: Client, engineer: User, provider: IdentityProvider) -> None:
    provider.person = known(engineer.email, verified="true")
    login(client)
    assert who(client) == engineer.email


def test_a_deactivated_account_stays_closed_and_its_token_too(
    client: Client, engineer: User, provider: IdentityProvider
) -> None:
    _, token = create_token(engineer, name="old", scope=TokenScope.READ, days=1)
    provider.person = known(engineer.email)
    login(client)
    User.objects.filter(pk=engineer.pk).update(is_active=False)
    assert client.get(reverse("accounts:tokens")).status_code == 302, "the login has ended"
    another = Client()
    login(another)
    assert who(another) is None
    api = APIClient(headers={"Authorization": f"Bearer {token}"})
    assert api.get("/api/v1/sessions/").status_code == 401


def test_a_service_account_never_logs_in(client: Client, owner: User, team: Team, provider: IdentityProvider) -> None:
    service = User.objects.create(email="bot@service.example", service_of=team)
    provider.person = known(service.email)
    login(client)
    assert who(client) is None


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_login_that_is_cancelled_leads_back(client: Client, provider: IdentityProvider) -> None:
    provider.refuses_with = "access_denied"
    answer = login(client)
    assert answer.headers["Location"] == reverse("account_login")
    assert b"cancelled" in client.get(answer.headers["Location"]).content


def failed(answer: Any) -> bool:
    return answer.status_code == 502 and b"login.provider_failed" in answer.content


def test_an_error_of_the_provider_is_told_and_logged(
    client: Client, provider: IdentityProvider, caplog: pytest.LogCaptureFixture
) -> None:
    provider.refuses_with = "temporarily_unavailable"
    assert failed(login(client))
    assert "temporarily_unavailable" in caplog.text


@pytest.mark.parametrize("path", [":9", "/nothing-here"])
def test_a_provider_that_is_away_is_told(client: Client, provider: IdentityProvider, settings: Any, path: str) -> None:
    issuer = f"http://127.0.0.1{path}" if path.startswith(":") else f"{provider.address}{path}"
    away = dataclasses.replace(settings.LATHE.single_sign_on, issuer=issuer)
    settings.SOCIALACCOUNT_PROVIDERS = single_sign_on.providers(away)
    assert failed(client.get(reverse("openid_connect_login", args=["sso"])))


def test_a_wrong_secret_is_told(client: Client, engineer: User, provider: IdentityProvider, settings: Any) -> None:
    wrong = dataclasses.replace(settings.LATHE.single_sign_on, client_secret="other")
    settings.SOCIALACCOUNT_PROVIDERS = single_sign_on.providers(wrong)
    provider.person = known(engineer.email)
    assert failed(login(client))


def test_an_answer_that_nobody_asked_for_is_refused(client: Client, provider: IdentityProvider) -> None:
    callback = reverse("openid_connect_callback", args=["sso"])
    assert failed(client.get(callback, {"code": "code-0", "state": "made up"}))


# --- the doctor -------------------------------------------------------------------------------------------------------


def test_the_doctor_reads_what_the_provider_says_of_itself(provider: IdentityProvider, settings: Any) -> None:
    (found,) = front.single_sign_on()
    assert found.state is State.OK
    assert "/accounts/oidc/sso/login/callback/" in found.sentence

    provider.calls_itself = "https://id.example.org"
    (found,) = front.single_sign_on()
    assert (found.state, found.mend) == (State.FAILED, "Set LATHE_OIDC_ISSUER=https://id.example.org.")

    away = dataclasses.replace(settings.LATHE.single_sign_on, issuer=f"{provider.address}/nothing-here")
    settings.LATHE = dataclasses.replace(settings.LATHE, single_sign_on=away)
    (found,) = front.single_sign_on()
    assert found.state is State.FAILED
    assert "404" in found.sentence

    settings.LATHE = dataclasses.replace(settings.LATHE, single_sign_on=None)
    assert not list(front.single_sign_on())


# --- the configuration ------------------------------------------------------------------------------------------------

ALL = {
    "LATHE_OIDC_ISSUER": "https://id.example.org/realms/company/",
    "LATHE_OIDC_CLIENT_ID": "lathe",
    "LATHE_OIDC_CLIENT_SECRET": "secret",
    "LATHE_OIDC_DOMAINS": "Example.org, example.com",
}


def test_the_environment_names_the_provider() -> None:
    found = Environment.read(ALL).single_sign_on
    assert found is not None
    assert (found.issuer, found.name) == ("https://id.example.org/realms/company", "single sign-on")
    assert found.domains == ("example.org", "example.com")
    assert Environment.read({}).single_sign_on is None


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"LATHE_OIDC_CLIENT_ID": ""}, "LATHE_OIDC_CLIENT_ID"),
        ({"LATHE_OIDC_CLIENT_SECRET": ""}, "LATHE_OIDC_CLIENT_SECRET"),
        ({"LATHE_OIDC_ISSUER": ""}, "LATHE_OIDC_ISSUER"),
        ({"LATHE_OIDC_ISSUER": "http://id.example.org"}, "LATHE_OIDC_ISSUER"),
        ({"LATHE_OIDC_ISSUER": "id.example.org"}, "LATHE_OIDC_ISSUER"),
    ],
)
def test_half_a_provider_is_none(changes: dict[str, str], named: str) -> None:
    with pytest.raises(WrongVariable, match=named):
        Environment.read({**ALL, **changes})


def test_without_a_provider_no_button_and_no_address(client: Client) -> None:
    assert b"Log in with" not in client.get(reverse("account_login")).content
    assert client.get(reverse("openid_connect_login", args=["sso"])).status_code == 404
