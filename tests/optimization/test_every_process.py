"""What operators and teams change takes effect in a process that was running before, without a restart."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection

from apps.accounts.models import Team, User
from apps.agents.contracts.criteria import Criteria, Objective
from apps.models.models import StoreSettings
from apps.optimization import criteria
from apps.optimization.default_criteria import set_default
from apps.optimization.models import OptimizationSession, PipelineSettings
from lathe.processes import python, python_path

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("stored")]

SERVING = """
import json, sys
import django
django.setup()
from apps.accounts.models import Team, User
from apps.models.storage import upload_limit_bytes
from apps.optimization.default_criteria import defaults_of
from apps.optimization.models import OptimizationSession, PipelineSettings
for line in sys.stdin:
    used = defaults_of(User.objects.get(email=line.strip()), Team.objects.get()).used
    limits = PipelineSettings.current()
    running = [one.criteria_body["objective"] for one in OptimizationSession.objects.all()]
    answer = [used and str(used), upload_limit_bytes(), limits.max_attempts, limits.paused_queues, running]
    print(json.dumps(answer), flush=True)
"""


@pytest.fixture
def ask(engineer: User) -> Iterator[Callable[[], Any]]:
    """Asks another process, which runs from before the first question on."""
    environment = {
        **os.environ,
        "PYTHONPATH": python_path(),
        "DJANGO_SETTINGS_MODULE": "tests.optimization.recovery_settings",
        "LATHE_TEST_DATABASE_NAME": str(connection.settings_dict["NAME"]),
        "LATHE_TEST_BROKER_URL": "redis://127.0.0.1:1",
    }
    with subprocess.Popen(
        python("-c", SERVING), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        given, answers = process.stdin, process.stdout

        def answer() -> Any:
            given.write(f"{engineer.email}\n")
            given.flush()
            return json.loads(answers.readline())

        yield answer
        given.close()
        process.wait(20)


def test_a_change_takes_effect_at_once_in_a_process_that_runs_and_sessions_keep_theirs(
    ask: Callable[[], Any], session: OptimizationSession, team: Team, owner: User
) -> None:
    objective = session.criteria_body["objective"]
    assert ask() == [None, StoreSettings.current().max_upload_bytes, 3, [], [objective]]

    smallest = Criteria(objective=Objective.SIZE)
    edge = criteria.create(user=owner, team=team, name="Edge", criteria=smallest)
    set_default(team, edge, user=owner, personal=False)
    PipelineSettings.objects.update_or_create(pk=1, defaults={"max_attempts": 7, "paused_queues": ["gpu"]})
    StoreSettings.objects.update(max_upload_bytes=1234)
    assert ask() == ["Edge v1", 1234, 7, ["gpu"], [objective]]

    criteria.change(edge, user=owner, criteria=smallest.model_copy(update={"confidence": 0.9}))
    assert ask()[0] == "Edge v2"
