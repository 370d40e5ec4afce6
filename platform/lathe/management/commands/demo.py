"""`manage.py demo`: a session of a sample, from the upload to the verdict, in one terminal."""

from __future__ import annotations

import shutil
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.agents.contracts.state import Outcome, Status
from apps.errors import UserError
from apps.optimization import demo, exit_codes
from apps.optimization.models import OptimizationSession
from lathe import portal, terminal
from lathe.processes import ChildDied, StopRequested, Supervisor

LOOK_EVERY_S = 0.5


class Command(BaseCommand):
    help = (
        "Start everything, optimize a sample model, show progress and report. Exit 0 only if a better model was found, "
        f"{exit_codes.SAID}, 1 otherwise."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--keep", action="store_true", help="keep the portal running afterwards, until Ctrl-C")
        parser.add_argument("--port", type=int, help="port of the portal (default: the first free port from 8000)")

    def handle(self, *, keep: bool, port: int | None, **options: Any) -> None:
        environment = settings.LATHE
        try:
            with portal.only_one(environment.var_dir), Supervisor() as supervisor:
                session, address = self._start(supervisor, port)
                self._watch(supervisor, session)
                self.stdout.write(f"\n{terminal.report(session, width=self._width)}\n\n")
                if keep:
                    self.stdout.write(f"The portal is still running at {address.url}. Press Ctrl-C to stop it.")
                    supervisor.wait()
                self.stdout.write(f"To see this report in the portal, run `make run` and open {address.url}")
        except StopRequested:
            raise CommandError("Stopped before the session ended.", returncode=130) from None
        except (portal.CannotStart, ChildDied, TimeoutError, UserError) as error:
            raise CommandError(f"{error}\nThe logs are in {environment.var_dir / 'log'}.") from None
        self._exit(session)

    @staticmethod
    def _exit(session: OptimizationSession) -> None:
        """Raises `CommandError` with the outcome's exit code unless a better model was found."""
        if session.status == Status.COMPLETED and session.outcome == Outcome.IMPROVED:
            return
        code = exit_codes.UNDECIDED.get(session.outcome, 1)
        raise CommandError("The session ended without a better model.", returncode=code)

    def _start(self, supervisor: Supervisor, port: int | None) -> tuple[OptimizationSession, portal.Address]:
        environment = settings.LATHE
        address = portal.free_address("127.0.0.1", port)
        self._say("Starting Redis, workers and the portal …")
        portal.prepare(supervisor, environment)
        portal.serve(
            supervisor, environment, address, ("default", "checks", "cpu"), log_dir=environment.var_dir / "log"
        )
        place = demo.ensure_demo()
        self._say(f"Portal   {address.url}")
        self._say(f"Login    {place.user.email}   password {place.password}")
        self._say(f"Checking {place.version} and {place.dataset} …")
        supervisor.wait_until(lambda: place.ready, "The check of the samples", timeout_s=180)
        session = demo.start_session(place)
        self._say(f"Session  {address.url}{session.get_absolute_url()}\n")
        return session, address

    def _watch(self, supervisor: Supervisor, session: OptimizationSession) -> None:
        """Shows progress until the session ends: one updating line in a terminal, otherwise one line per change."""
        shown = ""
        while session.is_active:
            supervisor.wait(LOOK_EVERY_S)
            session.refresh_from_db()
            line = terminal.progress_line(session, width=self._width)
            if sys.stdout.isatty():
                self.stdout.write(f"\r\033[K{line}", ending="")
                self.stdout.flush()
            elif (change := line.split(",")[0].split(" · ")[0]) != shown:
                shown = change
                self._say(line)
        if sys.stdout.isatty():
            self.stdout.write("")

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()

    @property
    def _width(self) -> int:
        return shutil.get_terminal_size((120, 24)).columns
