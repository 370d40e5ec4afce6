"""All checks of the doctor, in the order in which their findings are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lathe.doctor import front, machine, queue, workers
from lathe.doctor.findings import Finding

CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    machine.settings_of_a_team,
    machine.debugging,
    machine.ready,
    queue.memory,
    machine.clocks,
    machine.disk,
    machine.static_files,
    machine.mails,
    workers.reports,
    front.address,
    front.single_sign_on,
)


def examine() -> tuple[Finding, ...]:
    """What every check finds now."""
    return tuple(finding for check in CHECKS for finding in check())
