"""`manage.py sweep`: one round of the periodic sweep of every worker."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from apps.optimization import sweeper


class Command(BaseCommand):
    help = "Recover the work of dead workers, resend lost messages, and advance stalled sessions."

    def handle(self, **options: Any) -> None:
        swept = sweeper.sweep()
        self.stdout.write(
            f"{swept.steps_recovered} steps recovered, {swept.checks_recovered} checks recovered, "
            f"{swept.messages_sent} messages sent again, "
            f"{swept.sessions_advanced} sessions advanced, {swept.folders_removed} scratch folders removed."
        )
