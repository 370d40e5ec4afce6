"""The live page: pushed, healed, closed to strangers."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from asgiref.testing import ApplicationCommunicator
from channels.auth import AuthMiddlewareStack
from channels.layers import DEFAULT_CHANNEL_LAYER, channel_layers, get_channel_layer
from channels.routing import URLRouter
from django.template.loader import render_to_string
from django.test import Client
from django.urls import reverse

from apps.accounts import services
from apps.accounts.models import Role, Team, User
from apps.agents.contracts.state import Status
from apps.live import pages
from apps.live.pages import NOT_FOUND
from apps.optimization import live
from apps.optimization.models import LogEntry, OptimizationSession
from apps.optimization.routing import websocket_urlpatterns
from lathe.channel_layer import PatientLayer
from tests.portal import world

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def session(team: Team, owner: User, viewer: User) -> OptimizationSession:
    return world.build(team, owner).session


def in_a_loop(story: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test told as a coroutine."""

    @wraps(story)
    def test(*args: Any, **kwargs: Any) -> None:
        async_to_sync(story)(*args, **kwargs)

    return test


class Socket:
    """A browser's end of the live page's socket, after a login of its own."""

    routes = websocket_urlpatterns

    def __init__(self, session: OptimizationSession, user: User) -> None:
        self.browser = Client()
        self._user = user
        self._path = f"/ws/sessions/{session.pk}/"

    async def connect(self) -> None:
        await sync_to_async(self.browser.force_login)(
            self._user, backend="apps.accounts.authentication.PasswordBackend"
        )
        cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in self.browser.cookies.items())
        headers = [(b"cookie", cookies.encode())]
        scope = {"type": "websocket", "path": self._path, "headers": headers}
        self._app = ApplicationCommunicator(AuthMiddlewareStack(URLRouter(self.routes)), scope)
        await self._app.send_input({"type": "websocket.connect"})
        assert (await self._app.receive_output())["type"] == "websocket.accept"

    async def pushed(self) -> str:
        return (await self._app.receive_output(5))["text"]

    async def closed(self) -> int:
        event = await self._app.receive_output(5)
        assert event["type"] == "websocket.close"
        return event["code"]

    async def leave(self) -> None:
        await self._app.send_input({"type": "websocket.disconnect", "code": 1000})
        await self._app.wait()


@in_a_loop
async def test_a_page_that_connects_is_shown_how_things_stand(session: OptimizationSession, viewer: User) -> None:
    socket = Socket(session, viewer)
    await socket.connect()
    html = await socket.pushed()
    for root in ("session-head", "session-candidates", "session-steps", "session-log", "session-front"):
        assert f'id="{root}"' in html
    await socket.leave()


@in_a_loop
async def test_what_is_pushed_has_the_times_of_its_viewer(session: OptimizationSession, viewer: User) -> None:
    noon = datetime(2026, 7, 1, 12, 0, 5, tzinfo=UTC)
    await sync_to_async(LogEntry.objects.create)(session=session, message="Something was done.", at=noon)
    for zone, shown in (("", "12:00:05"), ("Asia/Kathmandu", "17:45:05")):
        await sync_to_async(User.objects.filter(pk=viewer.pk).update)(time_zone=zone)
        socket = Socket(session, viewer)
        await socket.connect()
        assert f">{shown}</time>" in await socket.pushed()
        await socket.leave()


@in_a_loop
async def test_a_poke_is_answered_with_the_changed_fragment(session: OptimizationSession, viewer: User) -> None:
    socket = Socket(session, viewer)
    await socket.connect()
    await socket.pushed()
    await sync_to_async(OptimizationSession.objects.filter(pk=session.pk).update)(
        status=Status.FAILED, error="The analysis ran out of memory.", error_code="step.out_of_memory"
    )
    await get_channel_layer().group_send(session.channel_group, {"type": "session.changed"})
    assert "The analysis ran out of memory." in await socket.pushed()
    await socket.leave()


@in_a_loop
async def test_a_new_point_of_a_training_is_pushed_as_a_picture(session: OptimizationSession, viewer: User) -> None:
    socket = Socket(session, viewer)
    await socket.connect()
    await socket.pushed()
    step = session.steps.order_by("pk")[:1].values("pk")
    curves = {"held-out loss": [[0, 2.0], [10, 1.0]]}
    await sync_to_async(session.steps.filter(pk__in=step).update)(curves=curves, status=Status.RUNNING)
    await get_channel_layer().group_send(session.channel_group, {"type": "session.changed"})
    html = await socket.pushed()
    assert 'id="session-curves"' in html
    assert "The held-out loss goes from 2.00 to 1.00 at step 10" in html
    await socket.leave()


@in_a_loop
async def test_a_stranger_gets_the_answer_of_an_address_that_is_not_there(
    session: OptimizationSession, stranger: User
) -> None:
    socket = Socket(session, stranger)
    await socket.connect()
    assert await socket.closed() == NOT_FOUND


@in_a_loop
async def test_a_member_who_was_removed_is_pushed_nothing_more(session: OptimizationSession, viewer: User) -> None:
    socket = Socket(session, viewer)
    await socket.connect()
    await socket.pushed()
    await sync_to_async(viewer.memberships.all().delete)()
    await get_channel_layer().group_send(session.channel_group, {"type": "session.changed"})
    assert await socket.closed() == NOT_FOUND


@in_a_loop
async def test_an_account_that_was_switched_off_is_pushed_nothing_more(
    session: OptimizationSession, viewer: User
) -> None:
    socket = Socket(session, viewer)
    await socket.connect()
    await socket.pushed()
    await sync_to_async(User.objects.filter(pk=viewer.pk).update)(is_active=False)
    await get_channel_layer().group_send(session.channel_group, {"type": "session.changed"})
    assert await socket.closed() == NOT_FOUND


@pytest.mark.parametrize("how", ["log out", "another password", "switched off", "removed", "account deleted"])
@in_a_loop
async def test_who_may_no_longer_look_is_told_at_once(
    session: OptimizationSession, viewer: User, password: str, how: str
) -> None:
    """Nobody pokes the session: what ends the right to look closes the socket by itself."""
    socket = Socket(session, viewer)
    await socket.connect()
    await socket.pushed()

    def end() -> None:
        if how == "log out":
            socket.browser.post(reverse("account_logout"))
        elif how == "another password":
            viewer.set_password("brand new words")
            viewer.save()
        elif how == "switched off":
            viewer.is_active = False
            viewer.save()
        elif how == "removed":
            owner = session.team.memberships.get(role=Role.OWNER).user
            services.remove_member(by=owner, member=viewer.memberships.get())
        else:
            viewer.delete()

    await sync_to_async(end)()
    assert await socket.closed() == NOT_FOUND


@in_a_loop
async def test_another_logins_end_is_no_business_of_a_page(session: OptimizationSession, viewer: User) -> None:
    here, there = Socket(session, viewer), Socket(session, viewer)
    for socket in (here, there):
        await socket.connect()
        await socket.pushed()
    await sync_to_async(there.browser.post)(reverse("account_logout"))
    assert await there.closed() == NOT_FOUND
    await sync_to_async(session.log.create)(message="Still looking.")
    await get_channel_layer().group_send(session.channel_group, {"type": "session.changed"})
    assert "Still looking." in await here.pushed()
    await here.leave()


@in_a_loop
async def test_a_page_looks_for_changes_by_itself_while_redis_is_away(
    session: OptimizationSession, viewer: User, settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pages, "LISTEN_S", 0.2)
    layer = PatientLayer(hosts=[{"address": f"unix://{tmp_path}/nobody.sock"}])
    before = channel_layers.set(DEFAULT_CHANNEL_LAYER, layer)
    try:
        socket = Socket(session, viewer)
        await socket.connect()
        await socket.pushed()
        await sync_to_async(session.log.create)(message="Nobody said so.")
        assert "Nobody said so." in await socket.pushed()
        await socket.leave()
    finally:
        channel_layers.set(DEFAULT_CHANNEL_LAYER, before)


def test_the_page_and_the_push_are_the_same_fragment(
    client: Client, session: OptimizationSession, viewer: User
) -> None:
    client.force_login(viewer)
    page = client.get(reverse("optimization:session-detail", args=[session.pk])).content.decode()
    pushed = render_to_string("optimization/_session_candidates.html", {"live": live.read(session)})
    assert pushed.strip() in page
