"""A version behind an alias that measures worse than when its session delivered it is told of, through the pipeline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from apps.accounts.models import User
from apps.agents.contracts.reports.evaluation import EvaluationReport, Part
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.state import Status, StepKind
from apps.audit.models import AuditEvent
from apps.models.models import DataSet, ModelVersion
from apps.models.services import move_alias
from apps.notifications.models import BellEntry
from apps.optimization import jobs, services
from apps.optimization.models import OptimizationSession
from apps.optimization.regressions import tell_of_decay
from tests.optimization import crank, material

pytestmark = [
    pytest.mark.portable,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("stored", "small_handlers", "impatient"),
]
Start = Callable[..., OptimizationSession]


@pytest.fixture
def promoted(start: Start, engineer: User, monkeypatch: pytest.MonkeyPatch) -> ModelVersion:
    """A version that a session made, behind *production*."""
    monkeypatch.setitem(jobs.HANDLERS, StepKind.EVALUATE, "tests.optimization.handlers:evaluate_timed")
    return services.promote(finished(start()), engineer).version


def finished(session: OptimizationSession) -> OptimizationSession:
    crank.turn_until_quiet()
    session.refresh_from_db()
    assert session.status == Status.COMPLETED, session.error
    return session


def decayed() -> list[str]:
    return [event.reason for event in AuditEvent.objects.filter(action="model.decayed").order_by("pk")]


def test_a_session_that_measures_a_promoted_version_worse_than_before_tells_the_team(
    promoted: ModelVersion, start: Start, viewer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(jobs.HANDLERS, StepKind.EVALUATE, "tests.optimization.handlers:evaluate_worn")
    finished(start(version=promoted))
    (reason,) = decayed()
    assert reason == (
        "It is behind the alias production. Compared with the session that made it: "
        "top-1 accuracy 80 instead of 89.9 %, 1 instead of 0.33 ms."
    )
    told = BellEntry.objects.filter(user=viewer, notification__kind="model.decayed")
    assert [entry.notification.title for entry in told] == ["resnet v2: worse than when it was promoted"]


def report(**changes: Any) -> EvaluationReport:
    """A judgement in which the original is what the promoted candidate was."""
    made = material.evaluation()
    (metric,) = made.metrics
    told = {"original": metric.candidate, **changes}
    return made.model_copy(update={"metrics": (metric.model_copy(update=told),), "part": Part.EVALUATION})


WORN = {"original": Estimate(value=80.0, low=78.0, high=82.0)}


def test_what_chance_explains_and_what_cannot_be_compared_is_not_told(
    promoted: ModelVersion, start: Start, engineer: User, dataset: DataSet
) -> None:
    session = start(version=promoted)
    assert tell_of_decay(session, report()) == 0, "the same numbers"
    touching = Estimate(value=87.0, low=85.0, high=89.0)
    assert tell_of_decay(session, report(original=touching)) == 0, "the intervals touch"
    ranked = report(**WORN).model_copy(update={"part": Part.CHOOSING})
    assert tell_of_decay(session, ranked) == 0, "it only ranked candidates"
    move_alias(promoted.model, "production", promoted.parent, engineer)
    assert tell_of_decay(session, report(**WORN)) == 0, "no alias points at it"
    move_alias(promoted.model, "staging", promoted, engineer)
    assert [tell_of_decay(session, report(**WORN)) for _ in range(2)] == [1, 0], "once in a session"
    assert "the alias staging" in decayed()[0]


def test_other_data_and_another_processor_are_not_compared(
    promoted: ModelVersion, start: Start, engineer: User, team: Any
) -> None:
    session = start(version=promoted)
    other = DataSet.objects.get(pk=session.dataset_id)
    other.pk, other.name = None, "other digits"
    other.save()
    session.dataset = other
    session.save()
    assert tell_of_decay(session, report(**WORN)) == 0
    latency = report().latency.model_copy(update={"original_blocks_ms": (1.0,) * 12})
    slower = report().model_copy(update={"latency": latency})
    elsewhere = slower.machine.model_copy(update={"cpu": "another processor"})
    assert tell_of_decay(session, slower.model_copy(update={"machine": elsewhere})) == 0
    assert tell_of_decay(session, slower) == 1
    assert "1 instead of 0.33 ms" in decayed()[0]
