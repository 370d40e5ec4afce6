"""Live pages: a poke on one of a page's channel groups sends the fragments of the page that changed."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from importlib import import_module
from typing import Any

from channels.auth import get_user
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.utils import timezone, translation

from apps.languages import language_of
from apps.live import pokes
from apps.zones import zone_of

logger = logging.getLogger(__name__)

NOT_FOUND = 4404
TRY_AGAIN = 1013
MIN_INTERVAL_S = 0.4
"""Pokes that arrive within this interval are handled together."""
LISTEN_S = 3.0
"""How often a page verifies its subscription to pokes. Without one, it polls for changes at this interval."""
LOOK_S = 15.0
"""How often a page polls in any case, because a poke may be lost."""


class LivePage(AsyncWebsocketConsumer):
    """One open page. It gets the current state on connecting, so a page recovers after losing its socket.

    Subclasses name its groups and its fragments. `None` in place of either closes the page: it is gone, or its viewer
    may not see it.
    """

    look_s: float | None = None
    """How often this kind of page polls; `LOOK_S` if not set."""
    listening: tuple[str, ...] = ()
    pushing: asyncio.Task[None] | None = None

    async def groups_of_page(self) -> tuple[str, ...] | None:
        """The groups whose pokes this page handles, besides those of its viewer and login."""
        raise NotImplementedError

    async def fragments_for(self, user: Any) -> dict[str, str] | None:
        """The rendered fragments by name, each with a stable id on its root, as `user` may see them."""
        raise NotImplementedError

    async def connect(self) -> None:
        groups = await self.groups_of_page()
        if groups is None:
            await self.accept()
            await self.close(code=NOT_FOUND)
            return
        self.changed = asyncio.Event()
        self.changed.set()
        self.listening = (*groups, pokes.user_group(self.scope["user"].pk), pokes.login_group(self._login()))
        await self._listen()
        await self.accept()
        self.pushing = asyncio.create_task(self._push())

    async def disconnect(self, code: int) -> None:
        if self.pushing:
            self.pushing.cancel()
        for group in self.listening:
            await pokes.reached(self.channel_layer.group_discard(group, self.channel_name), "leaving a group")

    async def session_changed(self, event: dict[str, Any]) -> None:
        """Handles a poke: the page changed, or the access of its viewer."""
        self.changed.set()

    async def _push(self) -> None:
        """Sends the fragments that changed since the last time. Unchanged ones keep their focus and selection."""
        shown: dict[str, str] = {}
        while True:
            await self._poked()
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

    async def _poked(self) -> None:
        """Waits for a poke, or until the next poll is due."""
        look_at = time.monotonic() + (self.look_s or LOOK_S)
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
            if not await pokes.reached(self.channel_layer.group_add(group, self.channel_name), "joining a group"):
                return False
        return True

    def _login(self) -> str:
        """The key of the browser's session behind this socket."""
        return self.scope["session"].session_key or ""

    async def _render(self) -> dict[str, str] | None:
        """The fragments, or `None` if the page is gone or its viewer may no longer see it."""
        # The socket's user and login date from when it was opened.
        login = import_module(settings.SESSION_ENGINE).SessionStore(self._login())
        user = await get_user({"session": login})
        with timezone.override(zone_of(user)), translation.override(language_of(user)):
            return await self.fragments_for(user)
