"""Circuit breakers: a technique or a worker that keeps failing, whatever the model, is paused for a while.

A paused technique is not planned, and a paused worker claims no step. What is counted says nothing about a model:
crashes of libraries, lack of memory, time limits, and a worker's own disk. Failures of database, store and network are
not, as they would pause every worker at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from apps.accounts.models import User
from apps.agents.contracts.errors.steps import StepDiskFailed, StepTimedOut
from apps.agents.contracts.faults import Fault
from apps.agents.contracts.job import JobFailure
from apps.agents.contracts.state import StepKind
from apps.agents.contracts.values import Value
from apps.agents.techniques.catalogue import catalogue
from apps.audit import trail
from apps.models import clock
from apps.optimization.localized import listed
from apps.optimization.models import Breaker, BreakerKind, PipelineSettings, SessionStep, Worker
from apps.optimization.readings import once

COUNTED = frozenset({Fault.CRASH, Fault.MEMORY})
_IN_WORDS = {
    StepTimedOut.code: gettext_noop("took too long"),
    StepDiskFailed.code: gettext_noop("had no disk to write to"),
}
_FAULTS_IN_WORDS = {Fault.MEMORY: gettext_noop("ran out of memory"), Fault.CRASH: gettext_noop("crashed")}


class Failed(Value):
    """One failure that counts."""

    of: str
    """What may be counted once only: the model version for a technique, the step for a worker."""
    at: datetime
    how: str
    """In words that follow a subject: `crashed`."""
    session: str


# --- what is paused ---------------------------------------------------------------------------------------------------


def paused_techniques() -> dict[str, str]:
    """Why each technique that is paused now is, by its name."""
    return {one.name: sentence(one) for one in _paused(BreakerKind.TECHNIQUE)}


def left_out() -> tuple[str, ...]:
    """The techniques that no plan may use: switched off by the operators, or paused."""
    paused = (one.name for one in _paused(BreakerKind.TECHNIQUE))
    return tuple(dict.fromkeys((*PipelineSettings.current().disabled_techniques, *paused)))


def is_paused(worker: str) -> bool:
    """Whether this worker may claim no step now."""
    return Breaker.objects.paused().filter(kind=BreakerKind.WORKER, name=worker).exists()


def paused_workers() -> dict[str, str]:
    """Why each worker that is paused now is, by its name."""
    return {one.name: sentence(one) for one in _paused(BreakerKind.WORKER)}


def _paused(kind: BreakerKind) -> list[Breaker]:
    return [one for one in once(Breaker, lambda: list(Breaker.objects.paused())) if one.kind == kind]


def sentence(breaker: Breaker) -> str:
    """What happened, since when, and what to do; for members as well, so it names no session of a team."""
    assert breaker.opened_at is not None
    assert breaker.closes_at is not None
    since, until = (
        date_format(timezone.localtime(moment), _("j M, H:i T")) for moment in (breaker.opened_at, breaker.closes_at)
    )
    words = _(
        "{subject} has been paused since {since}, because {reason}. It is tried again after {until}; an operator can "
        "end the pause in the admin."
    )
    return words.format(subject=_subject(breaker), since=since, reason=_reason(breaker), until=until)


def _subject(breaker: Breaker) -> str:
    spec = catalogue().get(breaker.name)
    return spec.label if spec and breaker.kind == BreakerKind.TECHNIQUE else breaker.name


def _reason(breaker: Breaker) -> str:
    found = [Failed.model_validate(one) for one in breaker.failures]
    ways = listed(sorted({_(one.how) for one in found}))
    if len(found) == 1:
        words = _("its process {ways}")
    elif breaker.kind == BreakerKind.TECHNIQUE:
        words = _("{number} different models in a row failed: its process {ways}")
    else:
        words = _("{number} steps in a row failed: its process {ways}")
    return words.format(number=len(found), ways=ways)


# --- what is counted --------------------------------------------------------------------------------------------------


def note_failure(step: SessionStep, worker: str, failure: JobFailure) -> None:
    """Counts an attempt that failed, against its technique and its worker, and pauses what has failed too often."""
    how = _how(failure)
    most = PipelineSettings.current().breaker_failures
    if how is None or most == 0:
        return
    own_disk = failure.code == StepDiskFailed.code
    for kind, name, of in _counted(step, worker):
        if kind is BreakerKind.WORKER or not own_disk:
            _count(kind, name, Failed(of=of, at=clock.now(), how=how, session=str(step.session_id)), most)


def note_success(step: SessionStep, worker: str) -> None:
    """What has succeeded is no longer counted, and no longer paused."""
    for kind, name, _of in _counted(step, worker):
        with transaction.atomic():
            row = Breaker.objects.select_for_update().filter(kind=kind, name=name).first()
            if row is None:
                continue
            if row.opened_at is not None:
                _record("breaker.closed", row, f"{_subject(row)} works again: the step {step.key} succeeded.")
            row.delete()


def close(breaker: Breaker, user: User) -> None:
    """Ends the pause at once, and forgets the failures. For operators."""
    with transaction.atomic():
        row = Breaker.objects.select_for_update().filter(pk=breaker.pk).first()
        if row is not None:
            _record("breaker.closed", row, f"{user} has ended the pause.", user)
            row.delete()


def _how(failure: JobFailure) -> str | None:
    if failure.code in _IN_WORDS:
        return _IN_WORDS[failure.code]
    return _FAULTS_IN_WORDS.get(failure.fault) if failure.fault in COUNTED else None


_OF_TECHNIQUES = (StepKind.OPTIMIZE, StepKind.SUPERNET, StepKind.TRIALS)


def _counted(step: SessionStep, worker: str) -> Iterator[tuple[BreakerKind, str, str]]:
    yield BreakerKind.WORKER, worker, str(step.pk)
    if step.kind in _OF_TECHNIQUES and step.technique:
        yield BreakerKind.TECHNIQUE, step.technique, str(step.session.version_id)


@transaction.atomic
def _count(kind: BreakerKind, name: str, failed: Failed, most: int) -> None:
    settings = PipelineSettings.current()
    Breaker.objects.get_or_create(kind=kind, name=name)
    row = Breaker.objects.select_for_update().get(kind=kind, name=name)
    since = failed.at - timedelta(minutes=settings.breaker_window_minutes)
    was_paused = row.opened_at is not None
    known = [one for one in map(Failed.model_validate, row.failures) if one.of != failed.of]
    kept = [one for one in known if was_paused or one.at >= since]
    row.failures = [one.model_dump(mode="json") for one in (*kept, failed)][-most:]
    if not row.open_at(failed.at) and (was_paused or len(row.failures) >= most):
        row.pause(failed.at, timedelta(minutes=settings.breaker_cooldown_minutes))
        _record("breaker.opened", row, sentence(row))
    row.save()


def _record(action: str, row: Breaker, reason: str, user: User | None = None) -> None:
    data = {"kind": row.kind, "name": row.name, "failures": row.failures}
    trail.record(action, actor=user, subject=_subject(row), reason=reason, data=data)


def forget_gone_workers() -> None:
    """Removes what was counted against workers that are no longer listed. Who is started again gets another chance."""
    Breaker.objects.filter(kind=BreakerKind.WORKER).exclude(name__in=Worker.objects.values("name")).delete()
