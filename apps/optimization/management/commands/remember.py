"""`manage.py remember`: writes what ended sessions measured to the history that predictions start from."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.db import transaction

from apps.agents.contracts.state import ACTIVE
from apps.optimization import memory
from apps.optimization.models import OptimizationSession


class Command(BaseCommand):
    help = "Fill the history from ended sessions, such as those from before an update. Repeating it changes nothing."

    def handle(self, **options: Any) -> None:
        ended = OptimizationSession.objects.exclude(status__in=ACTIVE).order_by("created_at")
        sessions = candidates = 0
        for session in ended.select_related("team", "version__metadata", "dataset").iterator():
            with transaction.atomic():
                found = memory.remember(session)
            sessions, candidates = sessions + bool(found), candidates + found
        self.stdout.write(f"{candidates:,} measured candidates of {sessions:,} ended sessions are remembered.")
