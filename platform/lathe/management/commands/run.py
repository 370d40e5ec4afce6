"""`manage.py run`: the whole portal in the foreground, on one machine, with nothing else installed."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.errors import UserError
from lathe import portal
from lathe.processes import ChildDied, StopRequested, Supervisor


class Command(BaseCommand):
    help = "Migrate, then run the bundled Redis (unless REDIS_URL is set), the workers and the web server until Ctrl-C."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
        parser.add_argument("--port", type=int, help="port (default: the first free port from 8000)")
        parser.add_argument(
            "--demo", action="store_true", help="create the demo team and start a session with a sample model"
        )

    def handle(self, *, host: str, port: int | None, demo: bool, **options: Any) -> None:
        environment = settings.LATHE
        try:
            with portal.only_one(environment.var_dir), Supervisor() as supervisor:
                address = portal.free_address(host, port)
                portal.prepare(supervisor, environment)
                portal.serve(supervisor, environment, address, environment.queues, log_dir=None)
                self.stdout.write(self.style.SUCCESS(f"\nLathe is running: {address.url}"))
                if demo:
                    self._start_demo(supervisor)
                self.stdout.write("Press Ctrl-C to stop it.\n")
                self.stdout.flush()
                supervisor.wait()
        except StopRequested:
            self.stdout.write("\nLathe has stopped.")
        except (portal.CannotStart, ChildDied, TimeoutError, UserError) as error:
            raise CommandError(str(error)) from None

    def _start_demo(self, supervisor: Supervisor) -> None:
        """Creates the demo data and, once workers have checked it, starts a session, so that the dashboard shows
        activity.
        """
        from apps.optimization import demo

        place = demo.ensure_demo()
        self.stdout.write(f"Log in as {place.user.email} with the password {place.password}")
        self.stdout.flush()
        supervisor.wait_until(lambda: place.ready, "The check of the samples", timeout_s=180)
        demo.session_at_work(place)
