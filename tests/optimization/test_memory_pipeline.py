"""A session through real children leaves its measurements, and the next one's plan keeps what it was told of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from apps.agents.contracts.experience import Learned
from apps.agents.contracts.state import Status, StepKind
from apps.agents.session.manager import OptimizationManager
from apps.optimization.models import Experience, OptimizationSession
from apps.optimization.snapshot import session_state
from tests.optimization import crank

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("stored", "small_handlers", "impatient")]


def test_a_session_starts_from_what_the_one_before_it_measured(start: Callable[..., OptimizationSession]) -> None:
    sessions = [start(), start()]
    assert not Experience.objects.exists()
    for session in sessions[:1]:
        crank.turn_until_quiet()
        session.refresh_from_db()
        assert session.status == Status.COMPLETED
    assert set(Experience.objects.values_list("key", flat=True)) == {"c01"}
    later = start()
    crank.turn_until_quiet()
    plan = later.steps.get(kind=StepKind.PLAN)
    kept = Learned.model_validate(plan.parameters["learned"])
    assert kept.lessons["onnx-dynamic-int8"].sessions >= 1
    assert "learned" not in sessions[0].steps.get(kind=StepKind.PLAN).parameters

    later.refresh_from_db()
    before = OptimizationManager().next(session_state(later))
    Experience.objects.all().delete()
    assert OptimizationManager().next(session_state(later)) == before
