"""Sessions of small handlers that have come to their end, run once for all tests of a module that look at them.

Such a module asks for `standing` and marks its tests with a plain `django_db`: each sees the rows as the sessions have
left them, and what it changes is taken back. A test that commits (`transaction=True`) belongs in another module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command

from apps.accounts.models import Membership, Role, Team, User
from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.state import Outcome, Status, StepKind
from apps.models.models import DataSet, ModelVersion
from apps.models.storage import put_stream
from apps.optimization import jobs
from apps.optimization.models import OptimizationSession
from apps.optimization.services import session_start
from tests.optimization import crank, handlers, material
from tests.optimization.conftest import make_dataset, make_version

Unblock = Callable[[], Any]
"""Lets the database be used, as `pytest_django` forbids it outside of a test."""


@dataclass(frozen=True)
class Standing:
    """One engineer's model and data, and sessions on them."""

    user: User
    version: ModelVersion
    dataset: DataSet
    unblock: Unblock

    def session(
        self,
        criteria: Criteria | None = None,
        version: ModelVersion | None = None,
        student: ModelVersion | None = None,
        **instead: str,
    ) -> OptimizationSession:
        """One that has come to its end; `instead` names the handlers that differ, by the kind of step."""
        with pytest.MonkeyPatch.context() as patch, self.unblock():
            other = {StepKind(kind): f"tests.optimization.handlers:{name}" for kind, name in instead.items()}
            patch.setattr(jobs, "HANDLERS", {**handlers.TABLE, **other})
            timing = {"backoff_s": 0.0, "cancel_check_s": 0.05, "write_s": 0.0}
            patch.setattr(settings, "PIPELINE_TIMING", timing, raising=False)
            wanted = criteria or Criteria()
            models = {"version": version or self.version, "student": student}
            session = session_start(user=self.user, **models, dataset=self.dataset, criteria=wanted, seed=7)
            crank.turn_until_quiet()
            session.refresh_from_db()
            return session


@contextmanager
def standing_with_a_teacher(unblock: Unblock) -> Iterator[OptimizationSession]:
    """A finished session whose one candidate starts from graph optimization and also reads float16."""
    with standing(unblock) as made:
        session = made.session(plan="plan_with_a_teacher", optimize="learn_from_others")
        assert (session.status, session.outcome) == (Status.COMPLETED, Outcome.IMPROVED), session.error
        yield session


@contextmanager
def standing(unblock: Unblock) -> Iterator[Standing]:
    """Makes the engineer, the model and the data. All rows go at the end."""
    with unblock():
        team = Team.objects.create(name="Vision", slug="vision")
        user = User.objects.create_user("emil@example.org")
        Membership.objects.create(team=team, user=user, role=Role.ENGINEER)
        rows = make_version(team, user), make_dataset(team, user)
        for row, content in zip(rows, (material.onnx_bytes(), b"the data"), strict=True):
            row.blob = put_stream([content])
            row.save(update_fields=["blob"])
    try:
        yield Standing(user, *rows, unblock)
    finally:
        with unblock():
            call_command("flush", interactive=False, verbosity=0, reset_sequences=False)
