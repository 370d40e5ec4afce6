"""`manage.py worker`: runs this machine's workers, one process per queue."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.agents.sandbox.walls.closing import means
from lathe import portal
from lathe.env import QUEUES
from lathe.processes import ChildDied, StopRequested, Supervisor


class Command(BaseCommand):
    help = "Run workers for the queues in LATHE_QUEUES until stopped. Redis must already be running."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--queues", nargs="+", choices=QUEUES, help="queues to serve instead of LATHE_QUEUES")

    def handle(self, *, queues: list[str] | None, **options: Any) -> None:
        try:
            portal.check_cores(settings.LATHE)
            portal.check_sandbox(settings.LATHE, means(settings.LATHE.sandbox))
            with Supervisor() as supervisor:
                for queue in queues or settings.LATHE.queues:
                    for child in portal.workers(queue):
                        supervisor.start(child)
                supervisor.wait()
        except StopRequested:
            return
        except (portal.CannotStart, ChildDied) as error:
            raise CommandError(str(error)) from None
