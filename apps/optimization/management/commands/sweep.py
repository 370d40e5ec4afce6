"""`manage.py sweep`: one round of what every worker does now and then."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from apps.optimization import sweeper


class Command(BaseCommand):
    help = "Take back the work of dead workers, repeat lost messages, and move on sessions that wait for nobody."

    def handle(self, **options: Any) -> None:
        swept = sweeper.sweep()
        self.stdout.write(
            f"{swept.steps_recovered} steps taken back, {swept.checks_recovered} checks made again, "
            f"{swept.messages_sent} messages repeated, "
            f"{swept.sessions_advanced} sessions moved on, {swept.folders_removed} scratch folders removed."
        )
