"""The live page of a session: a poke on its channel group sends the page's own fragments."""

from __future__ import annotations

from channels.db import database_sync_to_async

from apps.accounts.models import Role, User
from apps.accounts.services import may
from apps.live.pages import LivePage
from apps.optimization import live
from apps.optimization.models import OptimizationSession


class SessionConsumer(LivePage):
    """The open page of one session."""

    @database_sync_to_async
    def groups_of_page(self) -> tuple[str, ...] | None:
        pk = self.scope["url_route"]["kwargs"]["pk"]
        session = OptimizationSession.objects.visible_to(self.scope["user"]).filter(pk=pk).first()
        return (session.channel_group,) if session else None

    @database_sync_to_async
    def fragments_for(self, user: User) -> dict[str, str] | None:
        pk = self.scope["url_route"]["kwargs"]["pk"]
        sessions = OptimizationSession.objects.visible_to(user).select_related("team", "version__model")
        session = sessions.filter(pk=pk).first()
        if session is None:
            return None
        return live.fragments(session, writes=may(user, session.team, Role.ENGINEER), reader_id=user.pk)
