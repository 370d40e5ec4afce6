"""Live pages: a poke on a session's channel group is answered with the fragments that the page itself uses."""

from __future__ import annotations

import asyncio
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer

from apps.accounts.models import Role, User
from apps.accounts.services import may
from apps.optimization import live
from apps.optimization.models import OptimizationSession

NOT_FOUND = 4404
MIN_INTERVAL_S = 0.4
"""Pokes that arrive faster are answered together."""


class SessionConsumer(AsyncWebsocketConsumer):
    """One open page. On connecting it gets the state as it is, so a page that lost its socket heals itself."""

    group: str | None = None
    pushing: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        session = await self._session()
        if session is None:
            await self.accept()
            await self.close(code=NOT_FOUND)
            return
        self.changed = asyncio.Event()
        self.group = session.channel_group
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()
        self.changed.set()
        self.pushing = asyncio.create_task(self._push())

    async def disconnect(self, code: int) -> None:
        if self.pushing:
            self.pushing.cancel()
        if self.group:
            await self.channel_layer.group_discard(self.group, self.channel_name)

    async def session_changed(self, event: dict[str, Any]) -> None:
        """A poke: something of this session changed."""
        self.changed.set()

    async def _push(self) -> None:
        """Sends what looks different since the last time: what stands still keeps its focus and its selection."""
        shown: dict[str, str] = {}
        while True:
            await self.changed.wait()
            self.changed.clear()
            fragments = await self._render()
            if fragments is None:
                await self.close(code=NOT_FOUND)
                return
            changed = [html for name, html in fragments.items() if shown.get(name) != html]
            if changed:
                await self.send(text_data="".join(changed))
            shown = fragments
            await asyncio.sleep(MIN_INTERVAL_S)

    @database_sync_to_async
    def _session(self) -> OptimizationSession | None:
        pk = self.scope["url_route"]["kwargs"]["pk"]
        return OptimizationSession.objects.visible_to(self.scope["user"]).filter(pk=pk).first()

    @database_sync_to_async
    def _render(self) -> dict[str, str] | None:
        """The fragments, or `None` once the session is gone or its reader may no longer see it."""
        pk = self.scope["url_route"]["kwargs"]["pk"]
        user = self.scope["user"]
        session = (
            OptimizationSession.objects.visible_to(user).select_related("team", "version__model").filter(pk=pk).first()
        )
        # The socket's user is as old as the socket.
        if session is None or not User.objects.filter(pk=user.pk, is_active=True).exists():
            return None
        return live.fragments(session, writes=may(user, session.team, Role.ENGINEER))
