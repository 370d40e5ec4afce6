"""Pages and mails are in the member's language; the API and what is kept as evidence stay English."""

from __future__ import annotations

import html
import re
from itertools import product
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.core import mail
from django.template import Context, Template
from django.test import Client
from django.urls import reverse
from django.utils import translation
from rest_framework.test import APIClient

from apps.accounts import services
from apps.accounts.models import Role, Team, User
from apps.agents.contracts.sandbox import Sandbox
from apps.audit import trail
from apps.audit.models import AuditEvent
from apps.models import approvals
from apps.models.errors import RequestOutdated
from apps.models.models import Alias, AliasRequest, ModelVersion
from apps.notifications import mails
from apps.notifications import services as notifications
from apps.notifications.models import Channel, Delivery, Medium, Notification
from apps.notifications.routing import websocket_urlpatterns as bell_routes
from apps.optimization import vocabulary
from apps.optimization.models import Worker
from apps.optimization.models.operation import SANDBOX
from tests.portal import world
from tests.portal.test_live import Socket, in_a_loop

pytestmark = pytest.mark.django_db(transaction=True)

ACCOUNT = reverse("accounts:time-zone")
GERMAN = "de-CH,de;q=0.9,en;q=0.5"


@pytest.fixture
def portal(team: Team, owner: User, viewer: User) -> world.World:
    return world.build(team, owner)


@pytest.fixture
def german(owner: User) -> User:
    services.choose_language(owner, "de")
    return owner


def page(client: Client, address: str, **headers: Any) -> str:
    return client.get(address, **headers).content.decode()


def test_a_visitor_gets_the_language_of_the_browser_or_the_chosen_one(client: Client) -> None:
    login = reverse("account_login")
    assert '<html lang="en-gb">' in page(client, login)
    assert "Konten entstehen durch Einladung" in page(client, login, headers={"accept-language": GERMAN})
    assert "Accounts are created" in page(client, login, headers={"accept-language": "fr"}), "no such pages: English"
    client.post(reverse("set_language"), {"language": "de", "next": login})
    chosen = page(client, login, headers={"accept-language": "en"})
    assert '<html lang="de">' in chosen
    assert "<h1>Anmelden</h1>" in chosen


def test_the_language_of_the_browser_is_learned_once(client: Client, owner: User) -> None:
    client.force_login(owner)
    page(client, ACCOUNT)
    owner.refresh_from_db()
    assert owner.language == "", "this client has told nothing"
    assert "Sprache und Zeitzone" in page(client, ACCOUNT, headers={"accept-language": GERMAN})
    assert "Sprache und Zeitzone" in page(client, ACCOUNT, headers={"accept-language": "en"})
    owner.refresh_from_db()
    assert owner.language == "de"


def test_another_language_is_chosen_on_its_page(client: Client, german: User) -> None:
    client.force_login(german)
    back = client.post(ACCOUNT, {"time_zone": "UTC", "language": "en-gb"}, follow=True)
    assert "Times are shown in UTC." in back.content.decode()
    assert back.headers["Content-Language"] == "en-gb"
    refused = client.post(ACCOUNT, {"time_zone": "UTC", "language": "xx"})
    assert refused.status_code == 422
    assert client.post(ACCOUNT, {"time_zone": "Asia/Tokyo"}).status_code == 302, "the language may be left as it is"
    german.refresh_from_db()
    assert (german.language, german.time_zone) == ("en-gb", "Asia/Tokyo")


PAGES = {
    "accounts:team": ("Mitglieder von Vision", "Einladung senden", "Ingenieur"),
    "accounts:tokens": ("API-Token", "Token anlegen", "Umfang"),
    "accounts:service-accounts": ("Dienstkonten", "Konto anlegen"),
    "models:model-list": ("Modelle", "Modell hochladen", "Neueste Version"),
    "models:model-upload": ("Zulässige Dateien", "Im Team einmalig."),
    "models:dataset-list": ("Datensätze", "Datensatz hochladen"),
    "models:dataset-upload": ("Art", "Labels in", "Klassifikation"),
    "models:approval-list": ("Freigaben", "Eine Bewegung eines geschützten Alias wartet hier"),
    "notifications:list": ("Benachrichtigungen", "Alle als gelesen markieren"),
    "notifications:settings": ("Sitzung beendet", "Ruhe von", "Zusammen, jede Stunde"),
    "notifications:deliveries": ("Zustellungen", "Versuche"),
    "guide:documents": ("Dokumentation", "Mit Lathe arbeiten"),
    "guide:find": ("Suchen", "Wer was wann getan hat"),
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_in_german(client: Client, portal: world.World, german: User, name: str) -> None:
    client.force_login(german)
    text = page(client, reverse(name))
    for words in PAGES[name]:
        assert words in text
    for words in ("Zum Inhalt springen", "Abmelden", "Sprache: Deutsch", "Prüfprotokoll"):
        assert words in text


SANDBOXES = [
    Sandbox(landlock_abi=abi, call_filter=call_filter, namespace=namespace)
    for abi, call_filter, namespace in product((0, 2, 4, 6), (False, True), (False, True))
]


def test_what_a_sandbox_leaves_open_is_told_in_german(client: Client, portal: world.World, german: User) -> None:
    """Each sentence that there is, on the page of the workers."""
    client.force_login(german)
    gaps = {gap for sandbox in SANDBOXES for gap in sandbox.gaps}
    assert gaps == set(vocabulary.SANDBOX_GAPS)
    for sandbox in SANDBOXES:
        Worker.objects.update(machine={SANDBOX: sandbox.model_dump(mode="json")})
        text = html.unescape(page(client, reverse("optimization:workers")))
        with translation.override("de"):
            assert all(translation.gettext(gap) in text for gap in sandbox.gaps)
        assert not any(gap in text for gap in gaps)


ADDRESSES = (
    *("/", "/sessions/", "/workers/", "/storage/", "{model}", "{version}", "{dataset}", "/criteria/"),
    *("{session}", "{session}report/", "{session}layers/"),
)
NUMBERS = re.compile(r'(?:style|width|height|x|y|x1|x2|y1|y2|d|r|value|max|data-[\w-]+)="([^"]*)"')
COMMA = re.compile(r"\d,\d+(?:%|px|rem)|:\s*\d+,\d|^\d+,\d+$|\d,\d+[ML ]")


@pytest.mark.parametrize("address", ADDRESSES)
def test_numbers_for_browsers_keep_their_point(client: Client, portal: world.World, german: User, address: str) -> None:
    client.force_login(german)
    rows = {name: getattr(portal, name).get_absolute_url() for name in ("model", "version", "dataset", "session")}
    answer = client.get(address.format(**rows))
    assert answer.status_code == 200
    for value in NUMBERS.findall(answer.content.decode()):
        assert not COMMA.search(value), value


def test_figures_look_the_same_in_all_languages() -> None:
    with translation.override("de"):
        assert (
            Template("{{ 4.25 }} {% load humanize %}{{ 1234567|intcomma }}").render(Context())
            == "4.25 1\u202f234\u202f567"
        )


def test_the_api_speaks_english(client: Client, german: User) -> None:
    api = APIClient()
    api.force_authenticate(german)
    refused = api.patch("/api/v1/me/", {"time_zone": "Tokyo"}, format="json", headers={"accept-language": GERMAN})
    assert refused.json()["detail"].startswith("There is no time zone")
    assert api.get("/api/v1/nothing/", headers={"accept-language": GERMAN}).headers["Content-Language"] == "en-gb"
    client.force_login(german)
    assert client.get("/api/v1/models/999/").json()["detail"] == "Not found."
    assert api.patch("/api/v1/me/", {"language": "en-gb"}, format="json").json()["language"] == "en-gb"
    unknown = api.patch("/api/v1/me/", {"language": "xx"}, format="json").json()
    assert (unknown["code"], unknown["errors"][0]["field"]) == ("account.language_unknown", "language")


def test_an_error_on_a_page_is_in_german(client: Client, german: User) -> None:
    client.force_login(german)
    assert "Nicht gefunden" in page(client, "/nowhere/")
    lists = page(client, f"{reverse('models:dataset-bulk')}?act=explode&item=data+set:1")
    assert "„explode“ geht nicht mit mehreren Zeilen auf einmal." in lists
    form = client.post(reverse("accounts:invite"), {"email": german.email, "role": Role.VIEWER}).content.decode()
    assert "ist bereits Mitglied von Vision" in form


def test_a_mail_is_in_the_language_of_its_reader(team: Team, german: User, viewer: User) -> None:
    with_viewer = notifications.own_channel(viewer, team, Medium.EMAIL)
    own = notifications.own_channel(german, team, Medium.EMAIL)
    told = mails.message_of(own, [Delivery(channel=own)])
    assert told.subject == "[Lathe] Testnachricht"
    assert "Dies ist eine Testnachricht von Lathe." in told.body
    assert '<html lang="de">' in str(told.alternatives[0][0])
    assert "This is a test message from Lathe." in mails.message_of(with_viewer, [Delivery(channel=with_viewer)]).body
    shared = Channel(team=team, medium=Medium.EMAIL, address="list@example.org", name="list", pk=0)
    assert "This is a test message" in mails.message_of(shared, [Delivery(channel=shared)]).body


def test_a_notification_is_in_the_language_of_each_reader(
    client: Client, portal: world.World, german: User, viewer: User
) -> None:
    trail.record("session.failed", session=portal.session, reason="Out of memory.")
    told = Notification.objects.first()
    assert told is not None
    assert told.title == f"{portal.version}: the session failed", "what webhooks and the API have"
    for person, words in ((german, "Die Sitzung ist fehlgeschlagen"), (viewer, "the session failed")):
        client.force_login(person)
        assert f"{portal.version}: {words}" in page(client, reverse("notifications:list"))
    own = notifications.own_channel(german, portal.team, Medium.EMAIL)
    subject = mails.message_of(own, [Delivery(channel=own, notification=told)]).subject
    assert subject == f"[Lathe] {portal.version}: Die Sitzung ist fehlgeschlagen"


def test_an_invitation_is_in_the_language_of_the_invited_or_else_of_who_invites(
    team: Team, german: User, other_team: Team
) -> None:
    services.invite(by=german, team=team, email="new@example.org", role=Role.VIEWER)
    assert mail.outbox[-1].subject.endswith("lädt Sie zu Vision in Lathe ein")
    assert "in der Rolle Betrachter" in mail.outbox[-1].body
    known = User.objects.create_user("known@example.org")
    services.choose_language(known, "en-gb")
    services.invite(by=german, team=team, email=known.email, role=Role.VIEWER)
    assert "Follow this link to join." in mail.outbox[-1].body


def test_the_audit_trail_stays_english(portal: world.World, german: User, engineer: User) -> None:
    first, alias = portal.version, portal.alias
    ModelVersion.objects.filter(model=portal.model).exclude(pk=first.pk).delete()
    second = ModelVersion.objects.get(pk=first.pk)
    second.pk, second.number = None, first.number + 1
    second.save(force_insert=True)
    with translation.override("de"):
        approvals.protect(alias, german, protected=True)
        asked = approvals.move_or_ask(alias.model, alias.name, second, engineer, "tested")
        assert isinstance(asked, AliasRequest)
        Alias.objects.filter(pk=alias.pk).update(version=second)
        with pytest.raises(RequestOutdated, match="Es wurde nichts bewegt"):
            approvals.approve(asked, german, "because")
    stale = AuditEvent.objects.get(action="alias.request_stale")
    assert stale.reason == f"{alias.name} no longer points at version {first.number}."


class BellSocket(Socket):
    """A browser's end of the bell's socket."""

    routes = bell_routes

    def __init__(self, user: User) -> None:
        self.browser, self._user, self._path = Client(), user, "/ws/bell/"


@in_a_loop
async def test_what_is_pushed_is_in_the_language_of_its_viewer(viewer: User) -> None:
    for language, words in ((settings.LANGUAGE_CODE, "Notifications"), ("de", "Benachrichtigungen")):
        await sync_to_async(services.choose_language)(viewer, language)
        socket = BellSocket(viewer)
        await socket.connect()
        assert f'aria-label="{words}"' in await socket.pushed()
        await socket.leave()
