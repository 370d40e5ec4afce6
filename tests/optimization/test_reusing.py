"""An artifact that a team has made with the same recipe from the same input is taken from the store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.files.storage import default_storage

from apps.accounts.models import Team, User
from apps.agents.contracts.state import Outcome, Status
from apps.audit.models import AuditEvent
from apps.models import clock
from apps.optimization import services
from apps.optimization.models import OptimizationSession, PipelineSettings, SessionStep, Worker
from apps.optimization.recipe import recipe_of
from tests.optimization import crank
from tests.optimization.conftest import make_dataset, make_version

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


def test_two_sessions_at_the_same_time_both_make_it(start: Start) -> None:
    one, other = start(), start()
    Worker.objects.update(seen_at=clock.now())
    crank.turn_until_quiet(limit=120)
    for session in (one, other):
        session.refresh_from_db()
        assert session.outcome == Outcome.IMPROVED, session.error
    assert optimize(one).artifact == optimize(other).artifact
