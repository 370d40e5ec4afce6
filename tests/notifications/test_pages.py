"""The pages and the API of notifications: a bell of one's own, channels, and who may do what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from asgiref.testing import ApplicationCommunicator
from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from django.core.exceptions import PermissionDenied
from django.test import Client
from django.urls import reverse

from apps.accounts.errors import TimeZoneUnknown
from apps.accounts.models import Team, TokenScope, User
from apps.audit import trail
from apps.audit.models import AuditEvent
from apps.notifications import kinds, services
from apps.notifications.errors import (
    AddressNotPublic,
    ChannelFixed,
    DigestUnsupported,
    KindUnknown,
    QuietHoursIncomplete,
    TooManyChannels,
    UnsubscribeUnusable,
)
from apps.notifications.models import Attempt, BellEntry, Channel, Delivery, Medium
from apps.notifications.routing import websocket_urlpatterns
from lathe.env import Environment, WrongVariable
from tests.notifications.conftest import api

pytestmark = pytest.mark.django_db

Happens = Callable[..., None]
HOOK = "https://hooks.example.org/lathe"


def added(user: User, team: Team, **more: Any) -> Channel:
    answers = {"name": "mine", "address": HOOK, "for_team": False, **more}
    return services.add_channel(user, team, Medium.WEBHOOK, **answers)


# --- the bell --------------------------------------------------------------------------------------------------------


def test_the_bell_counts_what_is_unread_and_a_click_reads_it(client: Client, refusal: Happens, viewer: User) -> None:
    for subject in ("cats v1", "dogs v1"):
        refusal(subject=subject)
    client.force_login(viewer)
    page = client.get(reverse("notifications:list")).content.decode()
    assert "Notifications, 2 unread" in page
    assert page.index("dogs v1 was refused") < page.index("cats v1 was refused"), "newest first"
    first = BellEntry.objects.filter(user=viewer).latest("pk")
    followed = client.get(reverse("notifications:follow", args=[first.pk]))
    assert followed.headers["Location"] == "/models/1/"
    assert "Notifications, 1 unread" in client.get(reverse("notifications:list")).content.decode()
    unread = client.get(reverse("notifications:list"), {"unread": 1}).content.decode()
    assert ("cats v1" in unread, "dogs v1" in unread) == (True, False)
    assert "No notifications" in client.get(reverse("notifications:list"), {"kind": "worker.lost"}).content.decode()
    client.post(reverse("notifications:read"), {"all": "1"})
    assert 'aria-label="Notifications"' in client.get(reverse("notifications:list")).content.decode()
    client.post(reverse("notifications:read"), {"entry": first.pk, "unread": "1"})
    assert "Notifications, 1 unread" in client.get(reverse("notifications:list")).content.decode()


def test_reading_is_ones_own(client: Client, refusal: Happens, viewer: User, owner: User) -> None:
    refusal()
    theirs = BellEntry.objects.get(user=owner)
    client.force_login(viewer)
    client.post(reverse("notifications:read"), {"entry": theirs.pk})
    client.post(reverse("notifications:read"), {"entry": "x' or 1"})
    client.post(reverse("notifications:read"), {"all": "1"})
    theirs.refresh_from_db()
    assert theirs.read_at is None


@pytest.mark.django_db(transaction=True)
def test_an_open_page_hears_the_bell(refusal: Happens, viewer: User, engineer: User) -> None:
    """A real socket behind the login's cookie: the count changes without a request, and only for members."""

    async def story() -> None:
        browser = Client()
        await sync_to_async(browser.force_login)(viewer, backend="apps.accounts.authentication.PasswordBackend")
        cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in browser.cookies.items())
        scope = {"type": "websocket", "path": "/ws/bell/", "headers": [(b"cookie", cookies.encode())]}
        socket = ApplicationCommunicator(AuthMiddlewareStack(URLRouter(websocket_urlpatterns)), scope)
        await socket.send_input({"type": "websocket.connect"})
        assert (await socket.receive_output(5))["type"] == "websocket.accept"
        assert 'aria-label="Notifications"' in (await socket.receive_output(5))["text"]
        await sync_to_async(refusal)()
        assert "Notifications, 1 unread" in (await socket.receive_output(5))["text"]
        await sync_to_async(services.mark_read)(viewer)
        assert 'aria-label="Notifications"' in (await socket.receive_output(5))["text"]
        await sync_to_async(User.objects.filter(pk=viewer.pk).update)(is_active=False)
        await sync_to_async(viewer.save)(update_fields=["first_name"])
        assert (await socket.receive_output(5))["type"] == "websocket.close"

    async_to_sync(story)()


@pytest.mark.django_db(transaction=True)
def test_nobody_hears_a_bell_without_a_login() -> None:
    async def story() -> None:
        scope = {"type": "websocket", "path": "/ws/bell/", "headers": []}
        socket = ApplicationCommunicator(AuthMiddlewareStack(URLRouter(websocket_urlpatterns)), scope)
        await socket.send_input({"type": "websocket.connect"})
        await socket.receive_output(5)
        assert (await socket.receive_output(5))["type"] == "websocket.close"

    async_to_sync(story)()


# --- channels --------------------------------------------------------------------------------------------------------


def test_a_member_says_what_goes_where(client: Client, team: Team, viewer: User) -> None:
    client.force_login(viewer)
    assert "Your bell and your e-mail" in client.get(reverse("notifications:settings")).content.decode()
    answers = {
        "bell": ["worker.lost"],
        "email": ["session.failed", "queue.slow"],
        "digest": "hourly",
        "quiet_from": "22:00",
        "quiet_until": "07:00",
        "time_zone": "Europe/Berlin",
    }
    assert client.post(reverse("notifications:settings"), answers).status_code == 302
    bell, mail = (Channel.objects.get(user=viewer, medium=medium) for medium in (Medium.BELL, Medium.EMAIL))
    assert bell.kinds == ["worker.lost"]
    assert (mail.kinds, mail.digest, mail.mine_only) == (["session.failed", "queue.slow"], "hourly", False)
    assert str(mail.quiet_from) == "22:00:00"
    assert AuditEvent.objects.filter(action="channel.changed", actor=viewer.email).count() == 2
    wrong = client.post(reverse("notifications:settings"), {**answers, "quiet_until": ""})
    assert wrong.status_code == 422
    assert "Quiet hours need a beginning and an end" in wrong.content.decode()


def test_only_an_owner_adds_a_channel_of_the_team(client: Client, team: Team, owner: User, engineer: User) -> None:
    answers = {"medium": "webhook", "for": "team", "name": "build server", "address": HOOK, "time_zone": "UTC"}
    answers |= {"kinds": ["session.failed"]}
    client.force_login(engineer)
    assert client.get(reverse("notifications:new"), {"for": "team"}).status_code == 403
    assert client.post(reverse("notifications:new"), answers).status_code == 403
    assert client.post(reverse("notifications:new"), {**answers, "for": ""}).status_code == 302
    client.force_login(owner)
    assert client.get(reverse("notifications:new"), {"for": "team", "medium": "email"}).status_code == 200
    assert client.post(reverse("notifications:new"), answers).status_code == 302
    ours = Channel.objects.get(user=None)
    assert (ours.team, ours.kinds, ours.created_by) == (team, ["session.failed"], owner)
    event = AuditEvent.objects.filter(action="channel.added").latest("sequence")
    assert HOOK not in str(event.data)
    assert ours.secret not in str(event.data)


def test_secret_and_address_are_shown_to_those_who_may_change_them(
    client: Client, team: Team, owner: User, engineer: User, stranger: User
) -> None:
    ours = added(owner, team, for_team=True)
    address = reverse("notifications:channel", args=[ours.pk])
    for user, sees in ((owner, True), (engineer, False)):
        client.force_login(user)
        page = client.get(address).content.decode()
        assert (ours.secret in page, HOOK in page) == (sees, sees)
    client.force_login(stranger)
    assert client.get(address).status_code == 404
    assert api(engineer).get(f"/api/v1/notification-channels/{ours.pk}/").json()["address"] is None
    assert api(owner).get(f"/api/v1/notification-channels/{ours.pk}/").json()["address"] == HOOK


def test_members_do_not_see_each_others_channels_nor_other_teams(
    client: Client, team: Team, owner: User, engineer: User, stranger: User, refusal: Happens
) -> None:
    mine, ours = added(engineer, team), added(owner, team, for_team=True, name="ours")
    refusal()
    for user in (owner, stranger):
        client.force_login(user)
        assert client.get(reverse("notifications:channel", args=[mine.pk])).status_code == 404
        assert client.post(reverse("notifications:channel-remove", args=[mine.pk])).status_code == 404
    seen = {row["channel"] for row in api(owner).get("/api/v1/notification-deliveries/").json()["results"]}
    assert seen == {ours.pk}
    assert api(stranger).get("/api/v1/notification-deliveries/").json()["count"] == 0
    assert api(stranger).get("/api/v1/notifications/").json()["count"] == 0
    assert mine.deliveries.exists()
    with pytest.raises(PermissionDenied):
        services.change_channel(owner, mine, name="theirs")


def test_bell_and_mail_stay(team: Team, viewer: User) -> None:
    for medium in (Medium.BELL, Medium.EMAIL):
        with pytest.raises(ChannelFixed):
            services.remove_channel(viewer, services.own_channel(viewer, team, medium))
        with pytest.raises(ChannelFixed):
            services.add_channel(viewer, team, medium, for_team=False, name="x", address="x@example.org")


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ({"address": "https://169.254.169.254/latest/"}, AddressNotPublic),
        ({"address": "https://[::ffff:10.0.0.1]/"}, AddressNotPublic),
        ({"kinds": ["session.finished", "nonsense"]}, KindUnknown),
        ({"kinds": ["delivery.given_up"]}, KindUnknown),
        ({"kinds": ["worker.unsteady"]}, KindUnknown),
        ({"time_zone": "Mars/Base"}, TimeZoneUnknown),
        ({"digest": "daily"}, DigestUnsupported),
        ({"quiet_from": "22:00"}, QuietHoursIncomplete),
    ],
)
def test_a_channel_that_cannot_work_is_refused(
    team: Team, owner: User, answers: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        added(owner, team, **answers)
    assert not Channel.objects.exists()


def test_what_a_channel_does_not_have_is_refused(client: Client, team: Team, viewer: User) -> None:
    bell = services.own_channel(viewer, team, Medium.BELL)
    for act, code in (("test", "channel.nothing_to_test"), ("rotate-secret", "channel.no_secret")):
        refused = api(viewer).post(f"/api/v1/notification-channels/{bell.pk}/{act}/")
        assert (refused.status_code, refused.json()["code"]) == (409, code)
    with pytest.raises(UnsubscribeUnusable) as unusable:
        services.unsubscribe("no-token")
    assert unusable.value.code == "unsubscribe.unusable"
    assert client.get(reverse("notifications:unsubscribe", args=["no-token"])).status_code == 404


def test_channels_are_numbered(team: Team, owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "MOST_CHANNELS", 1)
    added(owner, team)
    added(owner, team, for_team=True)
    with pytest.raises(TooManyChannels):
        added(owner, team)


def test_the_log_shows_why_and_offers_to_send_again(
    client: Client, team: Team, owner: User, engineer: User, refusal: Happens
) -> None:
    ours = added(owner, team, for_team=True)
    refusal()
    Delivery.objects.filter(channel=ours).update(status="given_up", error="The receiver answered 500.", tries=8)
    client.force_login(owner)
    page = client.get(reverse("notifications:deliveries"), {"status": "given_up"}).content.decode()
    assert "The receiver answered 500." in page
    assert "cats v1 was refused" in page
    assert "Send again" in client.get(ours.get_absolute_url()).content.decode()
    client.post(reverse("notifications:delivery-replay", args=[ours.deliveries.get().pk]))
    assert ours.deliveries.count() == 2
    client.force_login(engineer)
    assert "Send again" not in client.get(ours.get_absolute_url()).content.decode()


def test_why_a_delivery_failed_is_shown_in_the_readers_language(
    client: Client, team: Team, owner: User, refusal: Happens
) -> None:
    ours = added(owner, team, for_team=True)
    refusal()
    delivery = ours.deliveries.get()
    User.objects.filter(pk=owner.pk).update(language="de")
    client.force_login(owner)
    for kept, shown in (
        ("The receiver answered 503.", "Der Empfänger antwortete mit 503."),
        ("TLS failed: the connection ended.", "TLS ist gescheitert: die Verbindung endete."),
        ("Something of an earlier release.", "Something of an earlier release."),
    ):
        Delivery.objects.filter(pk=delivery.pk).update(error=kept, tries=1)
        Attempt.objects.update_or_create(delivery=delivery, defaults={"error": kept})
        page = client.get(reverse("notifications:deliveries")).content.decode()
        assert page.count(shown) == 2, "the delivery, and its attempt"
        assert api(owner).get(f"/api/v1/notification-deliveries/{delivery.pk}/").json()["error"] == kept


# --- the installation ------------------------------------------------------------------------------------------------


def test_an_operator_switches_kinds_of_the_installation_off(client: Client, team: Team, owner: User) -> None:
    User.objects.filter(pk=owner.pk).update(is_staff=True)
    client.force_login(owner)
    about_team = client.get(reverse("notifications:settings")).content.decode()
    address = reverse("notifications:settings") + "?about=installation"
    assert address in about_team
    assert 'value="worker.unsteady"' not in about_team, "it never concerns a team"
    page = client.get(address).content.decode()
    assert 'value="worker.unsteady"' in page
    assert 'value="session.failed"' not in page, "it never concerns the installation"
    answers = {"bell": ["breaker.opened"], "digest": "none", "time_zone": "UTC"}
    assert client.post(address, answers).headers["Location"] == address
    for action in ("worker.unsteady", "breaker.opened"):
        trail.record(action, subject="node-1", reason="Why.")
    assert list(BellEntry.objects.filter(user=owner).values_list("notification__kind", flat=True)) == ["breaker.opened"]
    assert not Delivery.objects.exists()


def test_an_operator_without_a_team_has_the_settings_of_the_installation(client: Client) -> None:
    client.force_login(User.objects.create_superuser("root@example.org", "x"))
    page = client.get(reverse("notifications:settings")).content.decode()
    assert 'value="worker.unsteady"' in page
    assert 'value="session.failed"' not in page


def test_operators_add_channels_of_the_installation(client: Client, team: Team, owner: User, viewer: User) -> None:
    User.objects.filter(pk=owner.pk).update(is_staff=True)
    client.force_login(owner)
    about = {"about": "installation", "for": "team", "medium": "webhook"}
    assert 'value="room.low"' in client.get(reverse("notifications:new"), about).content.decode()
    answers = {**about, "name": "pager", "address": HOOK, "time_zone": "UTC", "kinds": ["worker.unsteady"]}
    assert client.post(reverse("notifications:new"), answers).status_code == 302
    ours = Channel.objects.get(team=None, user=None)
    trail.record("worker.unsteady", subject="node-1", reason="Why.")
    assert ours.deliveries.count() == 1
    listed = client.get(reverse("notifications:deliveries"), {"about": "installation"}).content.decode()
    assert "node-1 measures badly" in listed
    assert (
        f"{reverse('notifications:deliveries')}?channel={ours.pk}&amp;about=installation"
        in client.get(ours.get_absolute_url()).content.decode()
    )
    client.force_login(viewer)
    assert client.get(reverse("notifications:settings"), {"about": "installation"}).status_code == 403
    assert client.post(reverse("notifications:new"), answers).status_code == 403
    assert client.get(ours.get_absolute_url()).status_code == 404


def test_channels_of_the_installation_live_through_the_api(team: Team, owner: User) -> None:
    body = {"medium": "webhook", "name": "pager", "address": HOOK, "installation": True}
    assert api(owner).post("/api/v1/notification-channels/", body).status_code == 403
    User.objects.filter(pk=owner.pk).update(is_staff=True)
    client = api(User.objects.get(pk=owner.pk))
    made = client.post("/api/v1/notification-channels/", body).json()
    assert (made["team"], made["kinds"]) == (None, ["worker.unsteady", "breaker.opened", "room.low"])
    found = client.get("/api/v1/notification-channels/", {"installation": "true"}).json()["results"]
    assert sorted(row["medium"] for row in found) == ["bell", "email", "webhook"]
    refused = client.patch(f"/api/v1/notification-channels/{made['id']}/", {"kinds": ["session.failed"]})
    assert (refused.status_code, refused.json()["code"]) == (422, "channel.kind_unknown")


# --- the API ---------------------------------------------------------------------------------------------------------


def test_a_channel_lives_through_the_api(team: Team, viewer: User) -> None:
    client = api(viewer)
    listed = client.get("/api/v1/notification-channels/").json()["results"]
    assert [row["medium"] for row in listed] == ["bell", "email"]
    body = {"medium": "webhook", "name": "mine", "address": HOOK, "quiet_from": "22:00", "quiet_until": "07:00"}
    made = client.post("/api/v1/notification-channels/", body)
    assert made.status_code == 201, made.content
    assert made.json()["kinds"] == list(kinds.preset(installation=False))
    address = f"/api/v1/notification-channels/{made.json()['id']}/"
    assert "secret" not in client.get(address).json()
    rotated = client.post(f"{address}rotate-secret/").json()
    assert rotated["secret"].startswith("whsec_")
    assert rotated["secret"] != made.json()["secret"]
    assert client.patch(address, {"enabled": False, "kinds": []}).json()["kinds"] == []
    tested = client.post(f"{address}test/")
    assert (tested.status_code, tested.json()["notification"]) == (201, None)
    again = client.post(f"{address}test/")
    assert (again.status_code, again.json()["code"]) == (409, "delivery.waiting")
    assert client.delete(address).status_code == 204
    actions = AuditEvent.objects.filter(actor=viewer.email, action__startswith="channel").values_list(
        "action", flat=True
    )
    assert set(actions) == {
        *("channel.added", "channel.secret_rotated", "channel.changed", "channel.tested", "channel.removed")
    }


def test_a_token_that_only_reads_changes_nothing(team: Team, owner: User, refusal: Happens) -> None:
    ours, client = added(owner, team, for_team=True), api(owner, TokenScope.READ)
    refusal()
    entry = BellEntry.objects.get(user=owner)
    assert client.get("/api/v1/notifications/", {"unread": "true"}).json()["count"] == 1
    for path in (
        *(f"notifications/{entry.pk}/read", "notifications/read-all"),
        *(f"notification-channels/{ours.pk}/test", f"notification-deliveries/{ours.deliveries.get().pk}/replay"),
    ):
        assert client.post(f"/api/v1/{path}/").status_code == 403


def test_notifications_are_read_through_the_api(refusal: Happens, viewer: User) -> None:
    refusal()
    refusal(subject="dogs v1")
    client = api(viewer)
    newest = client.get("/api/v1/notifications/").json()["results"][0]
    assert (newest["kind"], newest["title"], newest["read_at"]) == ("upload.refused", "dogs v1 was refused", None)
    assert newest["data"] == {"code": "model.damaged"}
    assert client.post(f"/api/v1/notifications/{newest['id']}/read/").json()["read_at"]
    assert client.get("/api/v1/notifications/", {"unread": "true"}).json()["count"] == 1
    assert client.post("/api/v1/notifications/read-all/").json() == {"changed": 1}
    assert client.post(f"/api/v1/notifications/{newest['id']}/unread/").json()["read_at"] is None


# --- the operator ----------------------------------------------------------------------------------------------------


def test_the_admin_shows_neither_address_nor_secret(client: Client, team: Team, owner: User) -> None:
    ours = added(owner, team, for_team=True)
    client.force_login(User.objects.create_superuser("root@example.org", "x"))
    page = client.get(reverse("admin:notifications_channel_change", args=[ours.pk])).content.decode()
    assert "build" not in page
    assert HOOK not in page
    assert ours.secret not in page
    for model in ("notification", "delivery", "condition"):
        assert client.get(reverse(f"admin:notifications_{model}_changelist")).status_code == 200


def test_networks_are_read_like_the_other_variables() -> None:
    read = Environment.read({"LATHE_WEBHOOK_NETWORKS": "10.0.7.0/24,fd00::1"}).webhook_networks
    assert [str(network) for network in read] == ["10.0.7.0/24", "fd00::1/128"]
    with pytest.raises(WrongVariable, match="LATHE_WEBHOOK_NETWORKS"):
        Environment.read({"LATHE_WEBHOOK_NETWORKS": "10.0.7.1/24"})
