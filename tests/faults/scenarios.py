"""The table of faults: what is struck, in which phases, how the session ends, and how soon it has recovered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from apps.agents.contracts.state import StepKind
from tests.faults import handlers, strikes
from tests.faults.disk import CAN_MOUNT
from tests.faults.strikes import Strike
from tests.faults.wire import Wire

PHASES = (StepKind.ANALYSE, StepKind.PLAN, StepKind.OPTIMIZE, StepKind.EVALUATE, StepKind.PACKAGE)
ANALYSE, PLAN, OPTIMIZE, EVALUATE, PACKAGE = PHASES
"""The kinds of step of a session with one candidate, around which nothing is refined."""
BEFORE = None
"""Struck before the session begins."""
Phase = StepKind | None


class End(StrEnum):
    SAME = "the same verdict"
    RESUMED = "failed, and the same verdict once it is resumed"
    LEFT = "a verdict without the step that was ended"


@dataclass(frozen=True)
class Scenario:
    """One fault. `lasts_s` is until it is mended; with `End.RESUMED` that is once the session has failed."""

    name: str
    strike: Strike
    end: End = End.SAME
    phases: tuple[Phase, ...] = PHASES
    lasts_s: float = 0.0
    within_s: float = 90.0
    """From mending to the verdict, on a machine that does other things as well."""
    short: tuple[Phase, ...] = ()
    """The phases in which `make test` strikes too: what no other test of the suite does."""
    codes: tuple[str, ...] = ()
    """With one of which a session fails that is resumed, or a step is left."""
    needs_root: bool = False
    on_bucket: bool = False
    """In an installation whose store is a bucket."""

    @property
    def possible(self) -> bool:
        return CAN_MOUNT or not self.needs_root


HANGS_S = 8.0
"""Twice a lease."""
MOMENT_S = 1.5
SCENARIOS = (
    Scenario("a step's process is killed", strikes.child_killed),
    Scenario("a step's process hangs for a while", strikes.child_paused, lasts_s=HANGS_S),
    Scenario("the worker is killed and started again", strikes.killed("worker-cpu")),
    Scenario("the worker is restarted in order", strikes.restarted("worker-cpu")),
    Scenario("the worker hangs beyond its lease", strikes.paused("worker-cpu"), lasts_s=HANGS_S),
    Scenario("the worker hangs, and a second one takes over", strikes.another_takes_over, lasts_s=16.0),
    Scenario("the worker that advances sessions is killed", strikes.killed("worker-default")),
    Scenario("the worker that advances sessions hangs", strikes.paused("worker-default"), lasts_s=HANGS_S),
    Scenario("the web server is killed and started again", strikes.killed("web")),
    Scenario("the web server is restarted in order", strikes.restarted("web")),
    Scenario("the web server hangs", strikes.paused("web"), lasts_s=HANGS_S),
    Scenario("Redis is killed, and away", strikes.away("redis"), lasts_s=MOMENT_S, short=(EVALUATE,)),
    Scenario("Redis is restarted in order", strikes.restarted("redis")),
    Scenario("Redis hangs", strikes.paused("redis"), lasts_s=HANGS_S),
    Scenario("Redis loses all that it had", strikes.messages_lost),
    Scenario("Redis is full", strikes.redis_full, lasts_s=MOMENT_S),
    Scenario("PostgreSQL is killed, and away", strikes.away("postgres"), lasts_s=MOMENT_S, short=(ANALYSE,)),
    Scenario("PostgreSQL is restarted in order", strikes.restarted("postgres")),
    Scenario("PostgreSQL hangs", strikes.paused("postgres"), lasts_s=HANGS_S),
    Scenario("the network to database and Redis carries nothing", strikes.silent("database", "redis"), lasts_s=HANGS_S),
    Scenario("the network to the database carries nothing", strikes.silent("database"), lasts_s=HANGS_S),
    Scenario("every connection of the worker is cut", strikes.cut),
    Scenario(
        "the store's disk is away",
        strikes.store_away,
        End.RESUMED,
        phases=(ANALYSE, OPTIMIZE, PACKAGE),
        codes=("store.file_missing", "step.infrastructure_failed"),
        needs_root=True,
    ),
    Scenario(
        "the store's disk is full",
        strikes.store_full,
        End.RESUMED,
        phases=(OPTIMIZE, PACKAGE),
        codes=("step.infrastructure_failed",),
        needs_root=True,
    ),
    Scenario(
        "the disk for temporary files is full",
        strikes.scratch_full,
        End.RESUMED,
        codes=("step.disk_failed", "step.infrastructure_failed"),
        needs_root=True,
    ),
    *(
        Scenario(
            name,
            strikes.bucket(fault),
            End.RESUMED,
            phases=(BEFORE, OPTIMIZE, PACKAGE),
            codes=("step.infrastructure_failed",),
            on_bucket=True,
        )
        for name, fault in (
            ("the bucket is away", strikes.nowhere),
            ("the bucket answers 500", strikes.refused(500, "InternalError")),
            ("the bucket answers 503", strikes.refused(503, "SlowDown")),
            ("the bucket does not take the worker's keys", strikes.refused(403, "InvalidAccessKeyId")),
            ("connections to the bucket break in the middle", strikes.broken_after(300)),
        )
    ),
    *(
        Scenario(name, strikes.bucket(fault), phases=(BEFORE, OPTIMIZE, PACKAGE), lasts_s=HANGS_S, on_bucket=True)
        for name, fault in (("the bucket hangs", Wire.silent), ("the bucket is slow", strikes.slow(0.3)))
    ),
    Scenario("the worker's clock is an hour ahead", strikes.clock_ahead(3600), phases=(BEFORE,)),
    Scenario("the worker's clock is an hour behind", strikes.clock_ahead(-3600), phases=(BEFORE,)),
    Scenario("messages that nobody can read or carry out", strikes.poison, phases=(BEFORE, PLAN), short=(PLAN,)),
    Scenario("every message comes several times", strikes.duplicates, short=(EVALUATE,)),
    Scenario(
        "a step takes more memory than it may",
        strikes.limited(handlers.TAKE_MEMORY, step_memory_limit_bytes=512 * 2**20),
        phases=(BEFORE,),
        lasts_s=20.0,
    ),
    Scenario(
        "a step takes more time than it may",
        strikes.limited(handlers.TAKE_FOR_EVER, step_time_limit_minutes=1),
        End.LEFT,
        codes=("step.timed_out",),
        phases=(BEFORE,),
        lasts_s=75.0,
    ),
)


@dataclass(frozen=True)
class Case:
    scenario: Scenario
    phase: Phase

    def __str__(self) -> str:
        return f"{self.scenario.name} / {self.phase or 'before'}"


def cases(*, short: bool) -> Iterator[Case]:
    """The rows of the table: those of the short form, or all of them."""
    for scenario in SCENARIOS:
        for phase in scenario.short if short else scenario.phases:
            yield Case(scenario, phase)
