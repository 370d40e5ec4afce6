"""Live pages: a poke on a session's channel group sends the page's own fragments."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from importlib import import_module
from typing import Any

from channels.auth import get_user
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.db import InterfaceError, OperationalError

from apps.accounts.models import Role, User
from apps.accounts.services import may
from apps.optimization import events, live
from apps.optimization.models import OptimizationSession

logger = logging.getLogger(__name__)

NOT_FOUND = 4404
TRY_AGAIN = 1013
MIN_INTERVAL_S = 0.4
"""Pokes that arrive within this interval are handled together."""
LISTEN_S = 3.0
"""How often a page verifies its subscription to pokes. Without one, it polls for changes at this interval."""
LOOK_S = 15.0
"""How often a page polls in any case, because a poke may be lost."""


class SessionConsumer(AsyncWebsocketConsumer):
    """One open page. It gets the current state on connecting, so a page recovers after losing its socket."""

    listening: tuple[str, ...] = ()
    pushing: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        session = await self._session()
        if session is None:
            await self.accept()
            await self.close(code=NOT_FOUND)
            return
        self.changed = asyncio.Event()
        self.changed.set()
        self.listening = (
            session.channel_group,
            events.user_group(self.scope["user"].pk),
            events.login_group(self._login()),
        )
        await self._listen()
        await self.accept()
        self.pushing = asyncio.create_task(self._push())

    async def disconnect(self, code: int) -> None:
        if self.pushing:
            self.pushing.cancel()
        for group in self.listening:
            await events.reached(self.channel_layer.group_discard(group, self.channel_name), "leaving a group")

    async def session_changed(self, event: dict[str, Any]) -> None:
        """Handles a poke: the session changed, or the access of its viewer."""
        self.changed.set()

    async def _push(self) -> None:
        """Sends the fragments that changed since the last time. Unchanged ones keep their focus and selection."""
        shown: dict[str, str] = {}
        while True:
            await self._told()
            self.changed.clear()
            try:
                fragments = await self._render()
            except (OperationalError, InterfaceError):
                logger.warning("The database does not answer. A live page is closed and will reconnect.", exc_info=True)
                await self.close(code=TRY_AGAIN)
                return
            if fragments is None:
                await self.close(code=NOT_FOUND)
                return
            changed = [html for name, html in fragments.items() if shown.get(name) != html]
            if changed:
                await self.send(text_data="".join(changed))
            shown = fragments
            await asyncio.sleep(MIN_INTERVAL_S)

    async def _told(self) -> None:
        """Waits for a poke, or until the next poll is due."""
        look_at = time.monotonic() + LOOK_S
        while not self.changed.is_set() and time.monotonic() < look_at:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.changed.wait(), LISTEN_S)
                return
            if not await self._listen():
                return

    async def _listen(self) -> bool:
        """Subscribes this page to pokes again, because a restarted Redis may have lost the subscription. Returns
        whether it worked.
        """
        for group in self.listening:
            if not await events.reached(self.channel_layer.group_add(group, self.channel_name), "joining a group"):
                return False
        return True

    def _login(self) -> str:
        """The key of the browser's session behind this socket."""
        return self.scope["session"].session_key or ""

    @database_sync_to_async
    def _session(self) -> OptimizationSession | None:
        pk = self.scope["url_route"]["kwargs"]["pk"]
        return OptimizationSession.objects.visible_to(self.scope["user"]).filter(pk=pk).first()

    async def _render(self) -> dict[str, str] | None:
        """The fragments, or `None` if the session is deleted or its viewer may no longer see it."""
        # The socket's user and login date from when it was opened.
        login = import_module(settings.SESSION_ENGINE).SessionStore(self._login())
        return await self._fragments(await get_user({"session": login}))

    @database_sync_to_async
    def _fragments(self, user: User) -> dict[str, str] | None:
        pk = self.scope["url_route"]["kwargs"]["pk"]
        sessions = OptimizationSession.objects.visible_to(user).select_related("team", "version__model")
        session = sessions.filter(pk=pk).first()
        return live.fragments(session, writes=may(user, session.team, Role.ENGINEER)) if session else None
