"""Carries out one row of the table: a session, a strike in one of its phases, and how it ended."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tests.faults.scenarios import Case, End, Phase
from tests.faults.strikes import Moment
from tests.faults.system import WORKERS, System
from tests.optimization import handlers
from tests.waiting import wait_until

PATIENCE_S = 120.0
EVERYTHING = ("postgres", "redis", "web", *WORKERS)


@dataclass(frozen=True)
class Result:
    case: Case
    ended: str
    """In the words of `End`, or what was wrong."""
    recovered_s: float
    """From mending (or resuming) to the verdict."""
    holds: bool


class Bench:
    """Carries out cases one after the other on one installation, and leaves it whole."""

    def __init__(self, system: System) -> None:
        self.system = system

    @cached_property
    def undisturbed(self) -> dict[str, Any]:
        """The verdict of a session to which nothing happens."""
        session = self.system.member.start()
        self.ended(session, PATIENCE_S)
        return self.system.member.verdict(session)

    def carry_out(self, case: Case) -> Result:
        """Raises `AssertionError` only if the installation cannot be made whole again."""
        assert self.undisturbed["outcome"] == "improved"
        began = time.monotonic()
        try:
            return self._carried_out(case)
        except AssertionError as error:
            return Result(case, str(error).splitlines()[0], time.monotonic() - began, holds=False)
        finally:
            self._mend()

    def _carried_out(self, case: Case) -> Result:
        scenario, member = case.scenario, self.system.member
        session, child = self.waiting_in(case.phase)
        with scenario.strike(Moment(self.system, session, child)):
            session = session or member.start()
            self.let_go(case.phase)
            if scenario.end is End.RESUMED:
                failed = self.ended(session, scenario.within_s)
                assert failed["error_code"] in scenario.codes, _told(failed)
            else:
                time.sleep(scenario.lasts_s)
        wait_until(self.system.whole, "The installation", PATIENCE_S)
        mended = time.monotonic()
        if scenario.end is End.RESUMED:
            member.resume(session)
        self.ended(session, scenario.within_s)
        recovered_s = time.monotonic() - mended
        self._judge(case, session)
        return Result(case, scenario.end, recovered_s, holds=True)

    # --- on the way --------------------------------------------------------------------------------------------------

    def waiting_in(self, phase: Phase) -> tuple[str, int | None]:
        """A session that waits in this phase, and the process of its step."""
        if phase is None:
            return "", None
        (self.system.gates / phase).touch()
        session = self.system.member.start()
        found: list[int] = []

        def waits() -> bool:
            found[:] = filter(None, [handlers.waiting_at(phase, self.system.scratch.folder)])
            return bool(found)

        wait_until(waits, f"The phase {phase}", PATIENCE_S)
        return session, found[0]

    def let_go(self, phase: Phase) -> None:
        if phase is not None:
            (self.system.gates / phase).unlink()

    def ended(self, session: str, within_s: float) -> dict[str, Any]:
        found: list[dict[str, Any]] = []

        def over() -> bool:
            found[:] = filter(None, [self.system.member.ended(session)])
            return bool(found)

        wait_until(over, f"The end of the session ({session})", within_s)
        return found[0]

    def _judge(self, case: Case, session: str) -> None:
        """Raises `AssertionError` unless the session has ended as it should."""
        member = self.system.member
        ended = member.ended(session)
        assert ended is not None
        assert ended["status"] == "completed", _told(ended)
        if case.scenario.end is End.LEFT:
            codes = {step["error_code"] for step in member.steps(session)}
            assert codes & set(case.scenario.codes), codes
            return
        found = member.verdict(session)
        different = {name for name, value in self.undisturbed.items() if found[name] != value}
        assert not different, f"another verdict: {', '.join(f'{name} is {found[name]}' for name in sorted(different))}"

    def _mend(self) -> None:
        """Whatever a case that broke has left."""
        for file in self.system.gates.iterdir():
            file.unlink()
        for name in EVERYTHING:
            if name not in self.system.children:
                self.system.start(name)
        with suppress(AssertionError):
            wait_until(lambda: not any(self.system.scratch.folder.iterdir()), "An empty scratch folder", 5)


def _told(session: dict[str, Any] | None) -> str:
    return f"{session['status']} {session['error_code']}: {session['error']}" if session else "no answer"
