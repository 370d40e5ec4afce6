"""Asking what is next while the last step ends. Over PostgreSQL, where a reader waits for no writer."""

from __future__ import annotations

import threading

import pytest
from django.db import connection, connections

from apps.agents.contracts.state import Decision, SessionState, Status
from apps.agents.session.manager import OptimizationManager
from apps.optimization import outcomes, pipeline
from apps.optimization.models import OptimizationSession, SessionStep
from tests.optimization import crank, material
from tests.optimization.test_sweeper import LEASE
from tests.waiting import HANGS_S

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def step(session: OptimizationSession) -> SessionStep:
    """The analysis of a session, at work."""
    if connection.vendor != "postgresql":
        pytest.skip("LATHE_TEST_DATABASE_URL is not PostgreSQL: SQLite has one writer at a time anyway")
    pipeline.advance(session.pk)
    list(crank.messages())
    step = session.steps.get()
    assert step.take("shed:1", LEASE)
    return step


def test_a_step_that_ends_while_the_session_is_asked_breaks_nothing(
    step: SessionStep, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask, ends = OptimizationManager.next, []

    def complete() -> None:
        body = material.ANALYSIS.model_dump(mode="json")
        assert step.complete(body)
        outcomes.keep_report(step)
        connections.close_all()

    def next_while_it_ends(self: OptimizationManager, state: SessionState) -> Decision:
        decision = ask(self, state)
        if not ends:
            ends.append(threading.Thread(target=complete))
            ends[0].start()
            ends[0].join(timeout=1)
        return decision

    monkeypatch.setattr(OptimizationManager, "next", next_while_it_ends)
    pipeline.advance(step.session_id)
    ends[0].join(timeout=HANGS_S)
    session = OptimizationSession.objects.get(pk=step.session_id)
    assert (session.status, session.error_code) == (Status.RUNNING, "")
    pipeline.advance(step.session_id)
    assert list(session.steps.values_list("key", "status")) == [("analyse", "completed"), ("plan", "queued")]


def test_many_who_ask_at_once_and_a_worker_that_ends_make_one_step(step: SessionStep) -> None:
    """Messages may come any number of times, to any number of workers."""

    def ask() -> None:
        for _ in range(8):
            pipeline.advance(step.session_id)
        connections.close_all()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    body = material.ANALYSIS.model_dump(mode="json")
    assert step.note_progress(progress=0.5, message="Half", eta_s=1.0)
    step.session.log.create(message="A line waits for nobody.")
    assert step.complete(body)
    outcomes.keep_report(step)
    for thread in threads:
        thread.join(timeout=HANGS_S)
    pipeline.advance(step.session_id)
    session = OptimizationSession.objects.get(pk=step.session_id)
    assert (session.status, session.error_code) == (Status.RUNNING, "")
    assert list(session.steps.values_list("key", flat=True)) == ["analyse", "plan"]
