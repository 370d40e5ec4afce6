"""How a session that ends without knowing ends a script and the demo, and what it hands over where size is the goal."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from apps.accounts.models import User
from apps.agents.contracts.criteria import Criteria, Objective
from apps.agents.contracts.state import Outcome, Status, StepKind
from apps.optimization import jobs
from apps.optimization.management.commands import optimize
from apps.optimization.models import OptimizationSession
from lathe import terminal
from lathe.management.commands import demo
from tests.optimization import crank
from tests.optimization.test_undecided_sessions import DISTURBED

pytestmark = [
    pytest.mark.portable,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("stored", "small_handlers", "impatient"),
]


def test_by_size_it_is_handed_over_and_the_speed_is_said_to_be_unknown_beside_the_gain(
    start: Callable[..., OptimizationSession], client: Client, engineer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(jobs.HANDLERS, StepKind.EVALUATE, "tests.optimization.handlers:evaluate_on_a_busy_machine")
    session = start(criteria=Criteria(objective=Objective.SIZE))
    crank.turn_until_quiet()
    session.refresh_from_db()
    assert session.outcome == Outcome.IMPROVED
    client.force_login(engineer)
    page = client.get(reverse("optimization:report", args=[session.pk])).content.decode()
    assert f'id="report-speed-unknown">The speed is not known: {DISTURBED}.' in page
    assert f"The speed is not known: {DISTURBED}." in terminal.report(session, width=300)
    assert "It meets every constraint: speed not known, 4.00 times smaller" in page
    detail = client.get(session.get_absolute_url()).content.decode()
    assert "speed not known" in session.headline.sentence
    assert session.headline.sentence in detail
    assert '<td class="num" data-label="Faster">not known' in detail
    listed = client.get(reverse("optimization:session-list")).content.decode()
    assert '<td class="num" data-label="Faster">–</td>' in listed
    assert '<td class="num" data-label="Smaller">4.00×</td>' in listed


# --- exit codes ------------------------------------------------------------------------------------------------------


def run_optimize(engineer: User, monkeypatch: pytest.MonkeyPatch, **criteria: object) -> str:
    """What `manage.py optimize --wait` says; the pipeline is turned while it waits."""
    monkeypatch.setattr(optimize.time, "sleep", lambda seconds: crank.turn_until_quiet())
    out = StringIO()
    call_command("optimize", "resnet", "digits", user=engineer.email, wait=True, set=criteria, stdout=out)
    return out.getvalue()


def test_a_script_that_waits_tells_the_outcomes_apart(
    version: object, dataset: object, engineer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = run_optimize(engineer, monkeypatch)
    assert "waiting: next in the queue" in said
    with pytest.raises(CommandError, match=r"Not measured: the budget ended.*more time") as ended:
        run_optimize(engineer, monkeypatch, budget={"minutes": 0.0001})
    assert ended.value.returncode == 3
    monkeypatch.setitem(jobs.HANDLERS, StepKind.EVALUATE, "tests.optimization.handlers:evaluate_on_a_busy_machine")
    with pytest.raises(CommandError, match=f"Inconclusive: the machine is too busy. {DISTURBED}") as ended:
        run_optimize(engineer, monkeypatch)
    assert ended.value.returncode == 4
    monkeypatch.setitem(jobs.HANDLERS, StepKind.ANALYSE, "tests.optimization.handlers:refuse")
    with pytest.raises(CommandError) as ended:
        run_optimize(engineer, monkeypatch)
    assert ended.value.returncode == 1


@pytest.mark.parametrize(
    ("outcome", "code"), [(Outcome.UNCHANGED, 1), (Outcome.NOT_MEASURED, 3), (Outcome.INCONCLUSIVE, 4)]
)
def test_the_demo_exits_with_the_code_of_its_outcome(session: OptimizationSession, outcome: Outcome, code: int) -> None:
    session.status, session.outcome = Status.COMPLETED, outcome
    with pytest.raises(CommandError) as ended:
        demo.Command._exit(session)
    assert ended.value.returncode == code


def test_the_demo_is_content_with_a_better_model(session: OptimizationSession) -> None:
    session.status, session.outcome = Status.COMPLETED, Outcome.IMPROVED
    demo.Command._exit(session)
