"""Watches what nobody does and somebody should know: long waits, lost workers, little room. It only records events."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path

from django.conf import settings
from django.core.files.storage import FileSystemStorage, default_storage
from django.db import IntegrityError
from django.utils import timezone

from apps.accounts.models import Team
from apps.agents.contracts.phrasing import duration
from apps.agents.contracts.state import Status
from apps.agents.measuring.scheduling.health import Health, TimingHealth
from apps.audit import trail
from apps.audit.models import AuditEvent
from apps.models import checks, clock
from apps.models.messages import CHECKS_QUEUE
from apps.models.usage import quota_bytes, used_bytes
from apps.notifications.conditions import end, watch, watched
from apps.optimization.models import OptimizationSession, PipelineSettings, SessionStep
from apps.optimization.waiting import own_times_s

LONG_WAIT = timedelta(minutes=30)
"""A step that has waited for a worker for so long is worth a word. Steps of paused queues wait on purpose."""
CHECK = "check:"
"""How the names of the conditions begin that a check waits long."""
LOW_DISK_SHARE = 0.1
LOW_DISK_BYTES = 20 * 10**9
"""A disk is nearly full with less than this free, and less than `LOW_DISK_SHARE` of it."""
HIGH_QUOTA_SHARE = 0.9
SLOW_FACTOR, SLOW_S = 3.0, 600.0
"""A session is far slower than predicted if it takes so many times as long, and so many seconds longer."""
SLOW_KEY = "slow"


def tell_of_lost_worker(session: OptimizationSession, worker: str, step_key: str, what_follows: str) -> None:
    """Records that `worker` fell silent during the step `step_key`."""
    reason = f"It fell silent during the step {step_key}. {what_follows}"
    trail.record("worker.lost", session=session, subject=worker, reason=reason, data={"step": step_key})


def look_at_queues() -> int:
    """Records each step that waits long, once. Returns the number of new events."""
    late = SessionStep.objects.waiting().filter(enqueued_at__lt=clock.after(-LONG_WAIT))
    late = late.exclude(queue__in=PipelineSettings.current().paused_queues)
    return sum(_tell_of_wait(step) for step in late)


def _tell_of_wait(step: SessionStep) -> bool:
    key = f"waits/{step.key}"
    if AuditEvent.objects.filter(session=step.session, key=key).exists():
        return False
    minutes = int(LONG_WAIT.total_seconds() // 60)
    reason = f"The step {step.key} has waited in the queue {step.queue} for more than {minutes} minutes."
    with suppress(IntegrityError):  # another sweeper was faster
        data = {"step": step.key, "queue": step.queue}
        trail.record("session.waits_long", session=step.session, subject=step.key, reason=reason, data=data, key=key)
        return True
    return False


def look_at_checks() -> int:
    """Records each check of a model or data set that waits long, once until it waits no more. Returns the number of new
    events.
    """
    paused = CHECKS_QUEUE in PipelineSettings.current().paused_queues
    late = {} if paused else {_name(row): row for row in checks.waiting_since(timezone.now() - LONG_WAIT)}
    end([name for name in watched(CHECK) if name not in late])
    return sum(watch(name, True, partial(_tell_of_check, row)) for name, row in late.items())


def _name(row: checks.Row) -> str:
    return f"{CHECK}{row.TALLIED_AS}:{row.pk}"


def _tell_of_check(row: checks.Row) -> None:
    minutes = int(LONG_WAIT.total_seconds() // 60)
    reason = f"Its check has waited in the queue {CHECKS_QUEUE} for more than {minutes} minutes."
    row.record("check.waits_long", reason=reason, queue=CHECKS_QUEUE)


def look_at_sessions() -> int:
    """Records each running session that has worked far longer than was foreseen after its plan, once. Returns the
    number of new events.
    """
    running = list(OptimizationSession.objects.filter(status=Status.RUNNING, foreseen_s__isnull=False))
    worked = own_times_s(running)
    return sum(_tell_of_slowness(session, worked[session.pk]) for session in running)


def _tell_of_slowness(session: OptimizationSession, worked_s: float) -> bool:
    foreseen_s = session.foreseen_s or 0.0
    late = worked_s > max(SLOW_FACTOR * foreseen_s, foreseen_s + SLOW_S)
    if not late or AuditEvent.objects.filter(session=session, key=SLOW_KEY).exists():
        return False
    reason = (
        f"It has worked for {duration(worked_s)}, and its plan foresaw {duration(foreseen_s)} in all. "
        "Its page shows which step takes so long."
    )
    with suppress(IntegrityError):  # another sweeper was faster
        data = {"worked_s": round(worked_s, 1), "foreseen_s": round(foreseen_s, 1)}
        trail.record("session.slow", session=session, reason=reason, data=data, key=SLOW_KEY)
        return True
    return False


def look_at_timing(timing: TimingHealth) -> None:
    """Records that this machine measures badly, once until it measures well again."""
    host = socket.gethostname()
    if timing.state is Health.BUSY:
        return  # neither good nor bad: what was told stands
    spread = timing.spread
    if spread is None:
        found = "Too few runs of the last comparison were undisturbed to know how fast anything is."
    else:
        found = f"The original timed against itself differs by up to {spread:.0%}: smaller speed-ups are noise there."
    reason = f"{found} Let nothing else run beside it, or give it cores of its own."
    tell = partial(trail.record, "worker.unsteady", subject=host, reason=reason, data={"spread": spread})
    watch(f"timing:{host}"[:120], timing.state is Health.TOO_BUSY, tell)


def look_at_room() -> None:
    """Records a disk of this machine, and a team's quota, that begins to be nearly full."""
    host = socket.gethostname()
    for folder in _folders():
        room = shutil.disk_usage(folder)
        low = room.free < min(LOW_DISK_BYTES, LOW_DISK_SHARE * room.total)
        reason = f"{room.free / 1e9:.1f} of {room.total / 1e9:.0f} GB are free. Sessions and uploads fail without room."
        subject = f"The disk of {host} with {folder} is nearly full"
        watch(f"disk:{host}:{folder}"[:120], low, partial(trail.record, "room.low", subject=subject, reason=reason))
    for team in Team.objects.all():
        _look_at_quota(team)


def _folders() -> Iterator[Path]:
    """The folders of this machine that fill, one for each disk."""
    folders = [Path(settings.LATHE.var_dir)]
    if isinstance(default_storage, FileSystemStorage):
        folders.append(Path(default_storage.location))
    seen = set()
    for folder in folders:
        if folder.exists() and (disk := folder.stat().st_dev) not in seen:
            seen.add(disk)
            yield folder


def _look_at_quota(team: Team) -> None:
    quota = quota_bytes(team)
    used = used_bytes(team) if quota else 0
    reason = f"{used / 1e6:.0f} of {(quota or 0) / 1e6:.0f} MB are used. Uploads are refused once the quota is full."
    tell = partial(trail.record, "room.low", team=team, subject=f"The quota of {team} is nearly full", reason=reason)
    watch(f"quota:{team.pk}", bool(quota) and used >= HIGH_QUOTA_SHARE * (quota or 0), tell)
