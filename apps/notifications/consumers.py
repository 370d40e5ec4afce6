"""The bell of an open page."""

from __future__ import annotations

from channels.db import database_sync_to_async

from apps.accounts.models import User
from apps.live.pages import LivePage
from apps.notifications import bell
from apps.notifications.funnel import bell_group


class BellConsumer(LivePage):
    """Every page has one, so it polls less often than a session's page; a poke comes at once."""

    look_s = 60.0

    async def groups_of_page(self) -> tuple[str, ...] | None:
        user = self.scope["user"]
        return (bell_group(user.pk),) if user.is_authenticated else None

    @database_sync_to_async
    def fragments_for(self, user: User) -> dict[str, str] | None:
        return {"bell": bell.fragment(user)} if user.is_authenticated else None
