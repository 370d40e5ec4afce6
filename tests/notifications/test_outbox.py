"""Deliveries: signed, retried with the same id, given up loudly, replayed; over real connections."""

from __future__ import annotations

import json
import logging
import re
import socket
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
import requests
from django.core import mail
from django.db import connection, connections
from django.test import Client
from django.utils import timezone
from dramatiq.middleware import TimeLimitExceeded
from standardwebhooks import Webhook, WebhookVerificationError

from apps.accounts.models import Membership, Team, User
from apps.audit.models import AuditEvent
from apps.notifications import chats, guard, mails, outbox, services
from apps.notifications.errors import DeliveryWaiting
from apps.notifications.models import BellEntry, Channel, Delivery, DeliveryStatus, Medium
from apps.notifications.sending import Failed
from tests.notifications.conftest import LOOPBACK, Receiver, api
from tests.notifications.test_addresses import drip
from tests.optimization import crank
from tests.portal import world

pytestmark = pytest.mark.django_db(transaction=True)

Happens = Callable[..., None]


def latest(channel: Channel) -> Delivery:
    return channel.deliveries.latest("pk")


def make_due() -> None:
    """Time passes: whatever waits for it is due, and its message was lost."""
    Delivery.objects.update(due_at=timezone.now() - timedelta(seconds=1), asked_at=None)


def try_again() -> None:
    make_due()
    assert outbox.sweep()
    crank.turn()


# --- webhooks --------------------------------------------------------------------------------------------------------


def test_a_webhook_is_signed_and_says_what_happened(webhook: Channel, receiver: Receiver, refusal: Happens) -> None:
    refusal()
    crank.turn_until_quiet()
    ((headers, body),) = receiver.taken
    told = Webhook(webhook.secret).verify(body, headers)
    assert told["type"] == "upload.refused"
    assert told["data"]["title"] == "cats v1 was refused"
    assert told["data"]["url"] == "http://127.0.0.1:8000/models/1/"
    assert told["data"]["team"] == "vision"
    assert headers["webhook-id"] == f"msg_{latest(webhook).message_id.hex}"
    assert headers["content-type"] == "application/json"
    with pytest.raises(WebhookVerificationError):
        Webhook(webhook.secret).verify(body.replace(b"cats", b"dogs"), headers)
    assert (latest(webhook).status, latest(webhook).tries) == (DeliveryStatus.DELIVERED, 1)
    assert latest(webhook).attempts.get().status == 204


def test_a_moved_alias_is_told_to_a_webhook_that_asks_for_it_and_to_nobody_else(
    webhook: Channel, receiver: Receiver, owner: User, viewer: User, team: Team
) -> None:
    version = world.build(team, owner).version
    client = api(owner)
    address = f"/api/v1/notification-channels/{webhook.pk}/"
    offered = client.get(address).json()["kinds"]
    assert "alias.moved" not in offered, "nobody is flooded"
    assert client.patch(address, {"kinds": ["alias.moved", "alias.moved_back"]}).status_code == 200
    list(crank.messages())
    body = {"model": version.model_id, "name": "live", "version": version.pk, "reason": "Why."}
    moved = client.post("/api/v1/aliases/", body)
    assert moved.status_code == 200, moved.content
    crank.turn_until_quiet()
    ((headers, body),) = receiver.taken
    told = Webhook(webhook.secret).verify(body, headers)
    assert (told["type"], told["data"]["title"]) == ("alias.moved", "resnet: live points at v1")
    data = {name: told["data"][name] for name in ("model", "alias", "from", "to")}
    assert data == {"model": version.model_id, "alias": "live", "from": None, "to": 1}
    assert not BellEntry.objects.filter(user=viewer, notification__kind="alias.moved").exists()


def test_a_failed_attempt_is_repeated_with_the_same_id(webhook: Channel, receiver: Receiver, refusal: Happens) -> None:
    receiver.status = 503
    refusal()
    crank.turn_until_quiet()
    failed = latest(webhook)
    assert (failed.status, failed.error) == (DeliveryStatus.WAITING, "The receiver answered 503.")
    assert failed.due_at > timezone.now()
    assert not outbox.sweep(), "it is not due yet"
    receiver.status = 200
    try_again()
    assert latest(webhook).status == DeliveryStatus.DELIVERED
    assert len({headers["webhook-id"] for headers, _ in receiver.taken}) == 1
    assert [attempt.status for attempt in failed.attempts.all()] == [503, 200]


def test_a_receiver_may_ask_to_be_left_alone(webhook: Channel, receiver: Receiver, refusal: Happens) -> None:
    receiver.status, receiver.headers = 429, {"Retry-After": "900"}
    refusal()
    crank.turn_until_quiet()
    assert latest(webhook).due_at > timezone.now() + timedelta(minutes=14)


def test_what_never_arrives_is_given_up_loudly(
    webhook: Channel, receiver: Receiver, refusal: Happens, owner: User, viewer: User, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.status = 500
    refusal()
    crank.turn_until_quiet()
    with caplog.at_level(logging.ERROR):
        for _ in range(outbox.MOST_TRIES - 1):
            try_again()
    given_up = webhook.deliveries.get()
    assert (given_up.status, given_up.tries) == (DeliveryStatus.GIVEN_UP, outbox.MOST_TRIES)
    assert "was given up: The receiver answered 500." in caplog.text
    event = AuditEvent.objects.get(action="notification.given_up")
    assert (event.subject, event.reason) == ("build server", "cats v1 was refused: The receiver answered 500.")
    assert BellEntry.objects.filter(user=owner, notification__kind="delivery.given_up").exists()
    assert not BellEntry.objects.filter(user=viewer, notification__kind="delivery.given_up").exists(), "owners only"
    make_due()
    assert not outbox.sweep()


def test_a_receiver_that_is_gone_is_told_nothing_more(webhook: Channel, receiver: Receiver, refusal: Happens) -> None:
    receiver.status = 410
    refusal()
    crank.turn_until_quiet()
    webhook.refresh_from_db()
    assert (latest(webhook).status, webhook.enabled) == (DeliveryStatus.GIVEN_UP, False)
    assert AuditEvent.objects.filter(action="channel.switched_off").exists()
    refusal()
    assert webhook.deliveries.count() == 1


def test_an_address_inside_is_an_attempt_that_failed(
    webhook: Channel, receiver: Receiver, refusal: Happens, listing: Callable[..., None]
) -> None:
    listing()
    refusal()
    crank.turn_until_quiet()
    assert receiver.taken == []
    assert "not on the public internet" in latest(webhook).error


def test_both_secrets_are_valid_for_a_while(
    webhook: Channel, receiver: Receiver, refusal: Happens, owner: User
) -> None:
    old = webhook.secret
    webhook = services.rotate_secret(owner, webhook)
    refusal()
    crank.turn_until_quiet()
    for secret in (old, webhook.secret):
        headers, body = receiver.taken[-1]
        assert Webhook(secret).verify(body, headers)
    Channel.objects.filter(pk=webhook.pk).update(previous_secret_until=timezone.now() - timedelta(seconds=1))
    refusal()
    crank.turn_until_quiet()
    headers, body = receiver.taken[-1]
    assert Webhook(webhook.secret).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(old).verify(body, headers)


def test_a_replay_has_the_same_id_and_content(
    webhook: Channel, receiver: Receiver, refusal: Happens, owner: User
) -> None:
    refusal()
    with pytest.raises(DeliveryWaiting):
        services.replay(owner, latest(webhook))
    crank.turn_until_quiet()
    services.replay(owner, latest(webhook))
    crank.turn_until_quiet()
    (first, body), (second, again) = receiver.taken
    assert (first["webhook-id"], body) == (second["webhook-id"], again)
    assert webhook.deliveries.count() == 2
    assert AuditEvent.objects.filter(action="notification.replayed").exists()


def test_a_test_message_is_tried_once(webhook: Channel, receiver: Receiver, owner: User) -> None:
    receiver.status = 500
    services.test_channel(owner, webhook)
    crank.turn_until_quiet()
    assert json.loads(receiver.taken[0][1])["type"] == "channel.test"
    assert latest(webhook).status == DeliveryStatus.GIVEN_UP
    assert not AuditEvent.objects.filter(action="notification.given_up").exists()
    receiver.status = 200
    services.test_channel(owner, webhook)
    crank.turn_until_quiet()
    assert latest(webhook).status == DeliveryStatus.DELIVERED


# --- workers ---------------------------------------------------------------------------------------------------------


def test_two_messages_about_one_delivery_send_it_once(webhook: Channel, receiver: Receiver, refusal: Happens) -> None:
    refusal()
    outbox.deliver(latest(webhook).pk)
    outbox.deliver(latest(webhook).pk)
    crank.turn_until_quiet()
    assert len(receiver.taken) == 1


def test_what_a_dead_worker_had_claimed_is_sent_by_another(
    webhook: Channel, receiver: Receiver, refusal: Happens
) -> None:
    refusal()
    list(crank.messages())
    now = timezone.now()
    Delivery.objects.update(claim=uuid.uuid4(), claimed_until=now + timedelta(minutes=1), asked_at=None)
    assert not outbox.sweep()
    Delivery.objects.update(claimed_until=now - timedelta(seconds=1))
    assert outbox.sweep()
    assert not outbox.sweep(), "one sweeper asks for it"
    crank.turn_until_quiet()
    assert len(receiver.taken) == 1


def test_a_fault_of_ours_is_an_attempt_that_failed(
    webhook: Channel, refusal: Happens, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def breaks(*arguments: Any) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(outbox.webhooks, "send", breaks)
    refusal()
    crank.turn_until_quiet()
    assert (latest(webhook).status, latest(webhook).tries) == (DeliveryStatus.WAITING, 1)
    assert "ZeroDivisionError" in caplog.text


def test_an_interrupted_try_counts(webhook: Channel, refusal: Happens, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker's limit of time is no `Exception`."""

    def takes_too_long(*arguments: Any) -> int:
        raise TimeLimitExceeded

    monkeypatch.setattr(outbox.webhooks, "send", takes_too_long)
    refusal()
    with pytest.raises(TimeLimitExceeded):
        crank.turn()
    interrupted = latest(webhook)
    assert (interrupted.status, interrupted.tries, interrupted.claim) == (DeliveryStatus.WAITING, 1, None)
    assert interrupted.due_at > timezone.now()
    assert "interrupted" in interrupted.error


def test_who_left_before_the_message_did_gets_nothing(refusal: Happens, engineer: User) -> None:
    refusal()
    Membership.objects.filter(user=engineer).delete()
    crank.turn_until_quiet()
    assert mail.outbox == []
    assert Delivery.objects.get().status == DeliveryStatus.GIVEN_UP
    assert not AuditEvent.objects.filter(action="notification.given_up").exists()


def test_old_rows_go(webhook: Channel, refusal: Happens) -> None:
    refusal()
    crank.turn_until_quiet()
    outbox.prune()
    assert Delivery.objects.exists()
    Delivery.objects.update(created_at=timezone.now() - timedelta(days=31))
    outbox.prune()
    assert not Delivery.objects.exists()
    assert BellEntry.objects.exists()


def test_a_channel_can_change_while_messages_are_put_out_for_it(
    webhook: Channel, refusal: Happens, owner: User
) -> None:
    """Both take the trail's lock and look at the channel, in one order."""
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has one lock for all writers")
    failures: list[Exception] = []

    def work(job: Callable[[int], object]) -> None:
        try:
            for number in range(15):
                job(number)
        except Exception as error:
            failures.append(error)
        finally:
            connections.close_all()

    jobs = (lambda n: refusal(), lambda n: services.change_channel(owner, webhook, name=f"server {n}"))
    threads = [threading.Thread(target=work, args=[job]) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


# --- mail ------------------------------------------------------------------------------------------------------------


def test_a_mail_is_plain_and_html_and_can_be_ended_with_one_click(
    refusal: Happens, engineer: User, client: Client, settings: Any
) -> None:
    refusal(subject="<b>cats</b> v1")
    crank.turn_until_quiet()
    (sent,) = mail.outbox
    assert sent.to == [engineer.email]
    assert sent.subject == "[Lathe] <b>cats</b> v1 was refused"
    html = sent.alternatives[0][0]
    assert "<b>cats</b> v1 was refused" in sent.body
    assert "&lt;b&gt;cats&lt;/b&gt; v1 was refused" in html
    assert "http://127.0.0.1:8000/models/1/" in sent.body
    assert sent.extra_headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link = re.fullmatch(r"<http://127.0.0.1:8000(/\S+)>", sent.extra_headers["List-Unsubscribe"])
    assert link
    mine = Channel.objects.get(user=engineer, medium=Medium.EMAIL)
    strict = Client(enforce_csrf_checks=True)
    assert "upload.refused" in mine.kinds
    assert strict.get(link[1]).status_code == 200
    mine.refresh_from_db()
    assert "upload.refused" in mine.kinds, "a scanner that follows links ends nothing"
    assert strict.post(link[1], {"List-Unsubscribe": "One-Click"}).status_code == 200
    mine.refresh_from_db()
    assert "upload.refused" not in mine.kinds
    assert "session.failed" in mine.kinds
    assert AuditEvent.objects.get(action="channel.unsubscribed").actor == engineer.email
    assert client.post(f"{link[1][:-2]}x/").status_code == 404


def test_a_mail_has_the_times_of_its_reader(refusal: Happens, engineer: User) -> None:
    User.objects.filter(pk=engineer.pk).update(time_zone="Asia/Tokyo")
    refusal()
    crank.turn_until_quiet()
    (sent,) = mail.outbox
    for text in (sent.body, sent.alternatives[0][0]):
        assert re.search(r"\d{2}:\d{2} JST", text)


def test_held_back_messages_go_out_together(refusal: Happens, team: Team, engineer: User) -> None:
    mine = services.own_channel(engineer, team, Medium.EMAIL)
    services.change_channel(engineer, mine, digest="daily", time_zone="Asia/Tokyo")
    refusal(subject="cats v1")
    refusal(subject="dogs v1")
    assert not crank.turn(), "nothing is sent at once"
    assert not outbox.sweep()
    assert all(row.held for row in Delivery.objects.all())
    make_due()
    assert outbox.sweep() == 1
    crank.turn_until_quiet()
    (sent,) = mail.outbox
    assert sent.subject == "[Lathe] 2 notifications from Vision"
    assert "cats v1 was refused" in sent.body
    assert "dogs v1 was refused" in sent.body
    assert Delivery.objects.filter(status=DeliveryStatus.DELIVERED).count() == 2


def test_held_back_webhooks_go_out_in_one_round(
    webhook: Channel, receiver: Receiver, refusal: Happens, owner: User
) -> None:
    services.change_channel(owner, webhook, quiet_from=time(0), quiet_until=time(23, 59, 59))
    for subject in ("cats v1", "dogs v1", "rats v1"):
        refusal(subject=subject)
    list(crank.messages())
    assert all(row.held for row in webhook.deliveries.all())
    Delivery.objects.exclude(channel=webhook).delete()
    make_due()
    assert outbox.sweep() == 3
    crank.turn()
    assert len(receiver.taken) == 3


def test_a_mail_server_that_is_away_is_tried_again(
    refusal: Happens, engineer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*arguments: Any) -> None:
        raise Failed("The mail server did not take the mail: ConnectionRefusedError.")

    monkeypatch.setattr(mails, "send", away)
    refusal()
    crank.turn_until_quiet()
    monkeypatch.undo()
    try_again()
    assert len(mail.outbox) == 1
    assert Delivery.objects.get().tries == 2


# --- chats -----------------------------------------------------------------------------------------------------------


def test_a_chat_gets_its_message_through_apprise(
    refusal: Happens, team: Team, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All but the connection is Apprise's own; the request it makes is what counts."""
    made: list[tuple[str, Any]] = []

    def request(self: Any, method: str, url: str, **options: Any) -> requests.Response:
        made.append((url, options))
        answer = requests.Response()
        answer.status_code, answer._content = 200, b"ok"
        return answer

    monkeypatch.setattr(requests.Session, "request", request)
    address = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#lathe?redirect=yes&verify=no&rto=9999"
    channel = services.add_channel(owner, team, Medium.CHAT, for_team=True, name="Slack", address=address)
    refusal()
    crank.turn_until_quiet()
    ((url, options),) = made
    assert url == "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
    assert "cats v1 was refused" in str(options["data"])
    assert (options["allow_redirects"], options["verify"], options["timeout"]) == (False, True, (10.0, 10.0))
    assert channel.deliveries.get().status == DeliveryStatus.DELIVERED


def test_a_chat_on_a_host_inside_is_not_reached(
    refusal: Happens, team: Team, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name of the member's own that leads inside: Apprise resolves it, and the connection is refused."""

    def inside(host: str, port: int, *arguments: Any, **options: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    address = "ntfys://ntfy.example.org/lathe"
    channel = services.add_channel(owner, team, Medium.CHAT, for_team=True, name="ntfy", address=address)
    monkeypatch.setattr(socket, "getaddrinfo", inside)
    delivery = Delivery(channel=channel)
    with pytest.raises(Failed, match="not on the public internet"):
        chats.send(channel, [delivery])


def test_a_chat_that_drips_is_a_failed_try(
    team: Team, owner: User, receiver: Receiver, listing: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Apprise's request goes to a server of the test's own, which would drip for 12 seconds."""
    listing(LOOPBACK)
    monkeypatch.setattr(guard, "MOST_S", 0.5)
    receiver.before_answer = drip
    ask = requests.Session.request
    monkeypatch.setattr(
        requests.Session, "request", lambda self, method, url, **more: ask(self, "POST", receiver.url, data="x")
    )
    address = "ntfys://ntfy.example.org/lathe"
    channel = services.add_channel(owner, team, Medium.CHAT, for_team=True, name="ntfy", address=address)
    services.test_channel(owner, channel)
    crank.turn_until_quiet()
    assert latest(channel).error == "There was no complete answer within 0.5 seconds."
    assert len(receiver.taken) == 1


def test_the_times_of_a_channel_are_kept_in_its_zone(team: Team, engineer: User, refusal: Happens) -> None:
    mine = services.own_channel(engineer, team, Medium.EMAIL)
    services.change_channel(engineer, mine, digest="daily", time_zone="Asia/Tokyo")
    refusal()
    assert Delivery.objects.get().due_at.astimezone(UTC).hour == 23, "8 in Tokyo"
    assert datetime.now(UTC) < Delivery.objects.get().due_at < datetime.now(UTC) + timedelta(days=1)
