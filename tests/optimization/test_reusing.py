"""An artifact that a team has made with the same recipe from the same input is taken from the store."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from django.db import connection, connections

from apps.accounts.models import Team, User
from apps.agents.contracts.state import Outcome, Status
from apps.audit.models import AuditEvent
from apps.models import clock
from apps.models.models import Blob
from apps.models.storage import open_blob, put_file
from apps.optimization import services
from apps.optimization.models import OptimizationSession, PipelineSettings, SessionStep, Worker
from apps.optimization.recipe import recipe_of
from apps.optimization.runner import StepRun
from apps.optimization.taking_over import Claim, claim
from tests.optimization import crank
from tests.optimization.conftest import make_dataset, make_version
from tests.optimization.test_sweeper import LEASE
from tests.waiting import HANGS_S

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("stored", "small_handlers", "impatient", "worker"),
]

Start = Callable[..., OptimizationSession]


def at_rest(session: OptimizationSession) -> OptimizationSession:
    Worker.objects.update(seen_at=clock.now())
    crank.turn_until_quiet()
    session.refresh_from_db()
    assert (session.status, session.outcome) == (Status.COMPLETED, Outcome.IMPROVED), session.error
    return session


@pytest.fixture
def first(start: Start) -> OptimizationSession:
    return at_rest(start())


def optimize(session: OptimizationSession) -> SessionStep:
    return session.steps.get(key="c01/optimize")


def taken(session: OptimizationSession) -> set[str]:
    return set(session.steps.exclude(taken_from={}).values_list("key", flat=True))


def test_it_is_not_made_again_and_everything_says_so(first: OptimizationSession, start: Start) -> None:
    second = at_rest(start())
    assert {one.kind for one in second.steps.exclude(taken_from={})} == {"optimize"}, "every session measures"
    assert not second.steps.filter(kind="optimize", attempt__gt=0).exists(), "nor is what led to it"
    made, reused = optimize(first), optimize(second)
    assert (reused.attempt, reused.artifact, reused.result) == (0, made.artifact, made.result)
    assert (reused.taken_from["session"], reused.taken_from["continued"]) == (str(first.pk), False)
    assert recipe_of(second).steps == recipe_of(first).steps
    assert {one.source.step for one in services.report(second).taken_over} == taken(second)
    event = AuditEvent.objects.get(session_id=second.pk, action="step.taken_over", subject="c01/optimize")
    assert str(first.pk) in event.reason


def test_it_survives_the_session_that_made_it(first: OptimizationSession, start: Start, engineer: User) -> None:
    second = at_rest(start())
    services.session_delete(first, engineer)
    artifact = optimize(second).artifact
    assert artifact is not None
    assert services.promote(second, engineer).version.blob == artifact
    third = at_rest(start(seed=8))
    assert optimize(third).taken_from["session"] == str(second.pk), "the seed does not decide what this technique makes"


def test_a_session_and_the_operators_can_have_everything_made_anew(
    first: OptimizationSession, start: Start, engineer: User
) -> None:
    assert taken(at_rest(start(make_anew=True))) == set()
    again = services.session_retry(first, engineer)
    assert again.make_anew, "what is started over is made anew"
    services.session_cancel(again, engineer)
    crank.turn_until_quiet()
    PipelineSettings.objects.update_or_create(pk=1, defaults={"reuse_artifacts": False})
    assert taken(at_rest(start())) == set()


def test_a_lost_file_is_made_again(first: OptimizationSession, start: Start) -> None:
    artifact = optimize(first).artifact
    assert artifact is not None
    Path(default_storage.path(artifact.storage_name)).unlink()
    third = at_rest(start(seed=8))
    assert optimize(third).attempt == 1, "although the seed does not decide what is made"
    assert optimize(third).artifact == artifact, "the same bytes, stored again"


def test_never_from_another_team(first: OptimizationSession, start: Start, other_team: Team, stranger: User) -> None:
    version, dataset = make_version(other_team, stranger), make_dataset(other_team, stranger)
    version.blob, dataset.blob = first.version.blob, first.dataset.blob
    version.save()
    dataset.save()
    theirs = at_rest(start(user=stranger, version=version, dataset=dataset))
    assert optimize(theirs).identity == optimize(first).identity, "the same work"
    assert (taken(theirs), optimize(theirs).attempt) == (set(), 1)


def test_of_two_sessions_at_the_same_time_one_makes_it_and_the_other_takes_it(start: Start) -> None:
    one, other = start(), start()
    Worker.objects.update(seen_at=clock.now())
    crank.turn_until_quiet(limit=120)
    for session in (one, other):
        session.refresh_from_db()
        assert session.outcome == Outcome.IMPROVED, session.error
    assert optimize(one).artifact == optimize(other).artifact
    assert sorted(optimize(session).attempt for session in (one, other)) == [0, 1]
    (taker,) = [session for session in (one, other) if optimize(session).taken_from]
    event = AuditEvent.objects.get(session_id=taker.pk, action="step.taken_over", subject="c01/optimize")
    assert "which made the same from the same input" in event.reason


# --- at the very same time --------------------------------------------------------------------------------------------


@pytest.fixture
def twins(start: Start) -> list[SessionStep]:
    """Steps of three sessions that wait to make the same."""
    sessions = [start() for _ in range(3)]
    Worker.objects.update(seen_at=clock.now())
    for _ in range(60):
        waiting = [session.steps.filter(key="c01/optimize", status=Status.QUEUED).first() for session in sessions]
        if all(waiting):
            break
        for message in list(crank.messages()):
            if not any(one is not None and one.pk in message.args for one in waiting):
                crank.deliver(message)
        Worker.objects.update(seen_at=clock.now())
    found = [one for one in waiting if one is not None]
    assert len({one.identity for one in found}) == 1
    return found


def together(works: Iterable[Callable[[], object]]) -> list[object]:
    """Runs all at the same moment, each in a thread of its own, and returns what they return or raise, in order."""
    listed = list(works)
    barrier, results = threading.Barrier(len(listed)), [None] * len(listed)

    def run(place: int, work: Callable[[], object]) -> None:
        try:
            barrier.wait(timeout=HANGS_S)
            results[place] = work()
        except Exception as error:
            results[place] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(place, work)) for place, work in enumerate(listed)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=HANGS_S)
    return results


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time anyway")
def test_however_many_workers_claim_the_same_at_once_one_makes_it_and_nothing_is_lost(twins: list[SessionStep]) -> None:
    for _ in range(12):
        claims = together(partial(claim, SessionStep.objects.get(pk=one.pk), "shed:1", LEASE) for one in twins)
        assert sorted(map(str, claims)) == ["ours", "theirs", "theirs"], claims
        (maker,) = SessionStep.objects.filter(pk__in=[one.pk for one in twins], status=Status.RUNNING)
        assert maker.attempt == 1
        assert maker.hand_back(reason="for the next round", counts=False)

    assert claim(maker, "shed:1", LEASE) is Claim.OURS
    StepRun(maker).carry_out()
    maker.refresh_from_db()
    assert maker.status == Status.COMPLETED, maker.error
    rest = [one for one in twins if one.pk != maker.pk]
    claims = together(partial(claim, SessionStep.objects.get(pk=one.pk), "shed:1", LEASE) for one in rest)
    assert claims == [Claim.TAKEN, Claim.TAKEN]
    for one in rest:
        one.refresh_from_db()
        assert (one.status, one.attempt, one.artifact) == (Status.COMPLETED, 0, maker.artifact)
        assert one.taken_from["session"] in {str(each.session_id) for each in twins if each != one}


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time anyway")
def test_the_same_bytes_stored_at_once_are_one_file(tmp_path: Path, start: Start) -> None:
    content = b"the same artifact" * 5000

    def copy(name: int) -> Path:
        path = tmp_path / str(name)
        path.write_bytes(content)
        return path

    blobs = together(partial(put_file, copy(name)) for name in range(6))
    assert {getattr(blob, "pk", blob) for blob in blobs} == {hashlib.sha256(content).hexdigest()}
    kept = Blob.objects.get(pk=hashlib.sha256(content).hexdigest())
    with open_blob(kept) as file:
        assert file.read() == content


def test_what_a_worker_made_and_then_lost_is_not_waited_for(twins: list[SessionStep]) -> None:
    first, second, *_ = twins
    assert claim(first, "shed:1", LEASE) is Claim.OURS
    assert claim(second, "shed:2", LEASE) is Claim.THEIRS
    SessionStep.objects.filter(pk=first.pk).update(lease_expires_at=clock.after(-LEASE))
    assert claim(second, "shed:2", LEASE) is Claim.OURS
