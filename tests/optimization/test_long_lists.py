"""Long lists: a page reads its own rows only, and what cannot be listed whole is found by its name."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import Team, User
from apps.agents.contracts.state import CandidateStatus, Outcome, Status, StepKind
from apps.models.models import DataSet, ModelVersion
from apps.optimization.forms.many_choices import SearchedChoiceField
from apps.optimization.forms.starting import SessionForm
from apps.optimization.models import Candidate, EvaluationReport, OptimizationSession, SessionStep
from apps.optimization.views.dashboard import MOST_ACTIVE
from apps.optimization.waiting import waits_of
from apps.pages import KeyedPaginator
from tests.optimization import material
from tests.optimization.conftest import make_dataset, make_version

pytestmark = pytest.mark.django_db

MANY = 60


@pytest.fixture
def many(version: ModelVersion, dataset: DataSet) -> list[OptimizationSession]:
    """Completed sessions, the newest first, each with a candidate that was selected and one that was not."""
    now, rows = timezone.now(), []
    for number in range(MANY):
        row = OptimizationSession.objects.create(
            team=version.model.team,
            version=version,
            dataset=dataset,
            criteria_body={"objective": "size"},
            status=Status.COMPLETED,
            outcome=Outcome.IMPROVED,
            verdict={"outcome": Outcome.IMPROVED, "reason": "Faster."},
            created_at=now - timedelta(minutes=number),
        )
        for key, status, speedup in (("c01", "rejected", 9.0), ("c02", CandidateStatus.SELECTED, 2.0 + number)):
            one = Candidate.objects.create(
                session=row, key=key, **material.chain(("x", "x")), predicted={}, reason="", status=status
            )
            measured = {"size_ratio": 4.0, "metric_drop": 0.0, "candidate_p50_ms": 1.0, "candidate_metric": 90}
            step = SessionStep.objects.create(session=row, key=f"{key}/evaluate", kind=StepKind.EVALUATE)
            EvaluationReport.objects.create(candidate=one, step=step, verdict="holds", speedup=speedup, **measured)
        row.keep_gains()
        rows.append(row)
    return rows


def test_every_page_has_its_rows_in_order_with_the_gains_of_the_selected(
    client: Client, engineer: User, many: list[OptimizationSession]
) -> None:
    client.force_login(engineer)
    seen = []
    for number in (1, 2, 3):
        page = client.get(reverse("optimization:session-list"), {"page": number}).context["page"]
        seen += [(row.pk, row.speedup) for row in page]
    assert seen == [(row.pk, 2.0 + number) for number, row in enumerate(many)]


def test_a_page_reads_as_much_however_many_rows_there_are(
    client: Client, engineer: User, many: list[OptimizationSession]
) -> None:
    """Rows before the page are passed by their keys: none of their columns is read, and nothing is grouped."""
    client.force_login(engineer)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        client.get(reverse("optimization:session-list"), {"page": 3, "status": "completed"})
    asked = [one["sql"] for one in queries if "optimization_optimizationsession" in one["sql"]]
    assert not [sql for sql in asked if "GROUP BY" in sql or "DISTINCT" in sql]
    skipping = [sql for sql in asked if "OFFSET" in sql]
    assert len(skipping) == 1
    assert "plan" not in skipping[0]
    assert "JOIN" not in skipping[0]


def test_the_rows_of_a_page_are_asked_for_by_their_keys_alone(
    client: Client, engineer: User, many: list[OptimizationSession]
) -> None:
    """A condition beside the keys has SQLite take the index of the condition, and read all that a team has."""
    client.force_login(engineer)
    with CaptureQueriesContext(connection) as queries:
        client.get(reverse("optimization:session-list"), {"page": 2, "status": "completed"})
    by_keys = [one["sql"] for one in queries if '"optimization_optimizationsession"."id" IN (' in one["sql"]]
    assert len(by_keys) == 1
    conditions = by_keys[0].rpartition(" WHERE ")[2]
    assert "team_id" not in conditions
    assert '"status"' not in conditions
    one_by_one = [one["sql"] for one in queries if '"optimization_optimizationsession"."id" = ' in one["sql"]]
    assert not one_by_one, "what a row shows was not read with it"


def test_the_dashboard_finds_what_is_active_without_the_rest_and_shows_the_newest_first(
    client: Client, engineer: User, many: list[OptimizationSession]
) -> None:
    moving = [many[number].pk for number in (2, 9, 31)]
    OptimizationSession.objects.filter(pk__in=moving).update(status=Status.RUNNING, outcome="")
    client.force_login(engineer)
    with CaptureQueriesContext(connection) as queries:
        page = client.get(reverse("optimization:dashboard"))
    assert [session.pk for session in page.context["active"]] == moving
    first = f"LIMIT {MOST_ACTIVE + 1}"
    asked = [one["sql"] for one in queries if one["sql"].endswith(first) and "'running'" in one["sql"]]
    assert len(asked) == 1
    assert "ORDER BY" not in asked[0], "SQLite takes the index of the order, and reads all that a team has"


@pytest.mark.parametrize("size", [1, 7, 25, 60, 100])
def test_pages_together_are_the_list(many: list[OptimizationSession], size: int) -> None:
    rows = OptimizationSession.objects.order_by("-created_at", "pk")
    pages = KeyedPaginator(rows, size)
    assert [row.pk for number in pages.page_range for row in pages.page(number)] == [row.pk for row in many]


def test_other_sequences_are_cut_as_usual() -> None:
    assert list(KeyedPaginator(list(range(5)), 2).page(3)) == [4]


# --- choosing a model by its name ------------------------------------------------------------------------------------


@pytest.fixture
def few_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SearchedChoiceField, "MOST_OFFERED", 3)


@pytest.fixture
def versions(team: Team, engineer: User, few_offered: None) -> list[ModelVersion]:
    return [make_version(team, engineer, name) for name in ("resnet a", "resnet b", "bert", "vit a", "vit b")]


def offered(form: SessionForm, name: str = "version") -> list[str]:
    return [label for value, label in form.fields[name].choices if value]  # type: ignore[attr-defined]


def test_the_newest_are_offered_and_that_there_are_more_is_said(
    client: Client, engineer: User, versions: list[ModelVersion]
) -> None:
    client.force_login(engineer)
    page = client.get(reverse("optimization:session-new"))
    assert offered(page.context["form"]) == ["vit b v1", "vit a v1", "bert v1"]
    html = page.content.decode()
    assert "The newest 3 are listed." in html
    assert 'id="id_version_search"' in html
    assert 'id="id_dataset_search"' not in html


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("resnet", ["resnet b v1", "resnet a v1"]),
        ("a vit", ["vit a v1"]),
        ("RESNET B", ["resnet b v1"]),
        ("no such", []),
        ("\x00", ["vit b v1", "vit a v1", "bert v1"]),
    ],
)
def test_words_find_those_that_have_all_of_them(
    client: Client, engineer: User, versions: list[ModelVersion], words: str, found: list[str]
) -> None:
    client.force_login(engineer)
    answer = client.get(reverse("optimization:session-choices"), {"field": "version", "version_search": words})
    assert answer.status_code == 200
    html = answer.content.decode()
    assert [label for label in (str(one) for one in reversed(versions)) if label in html] == found
    assert ("Nothing matches" in html) is (not found)


def test_what_was_chosen_stays_among_what_is_offered(engineer: User, team: Team, versions: list[ModelVersion]) -> None:
    form = SessionForm(user=engineer, team=team, initial={"version": versions[0].pk, "version_search": "vit"})
    assert offered(form) == ["resnet a v1", "vit b v1", "vit a v1"]


def test_any_row_of_the_team_is_an_answer_though_it_is_not_offered(
    engineer: User, team: Team, versions: list[ModelVersion]
) -> None:
    dataset = make_dataset(team, engineer)
    form = SessionForm({"version": versions[0].pk, "dataset": dataset.pk}, user=engineer, team=team)
    assert form.fields["version"].clean(str(versions[0].pk)) == versions[0]
    assert "version" not in form.errors


def test_a_row_of_another_team_is_none(engineer: User, team: Team, stranger: User, other_team: Team) -> None:
    foreign = make_version(other_team, stranger)
    form = SessionForm({"version": foreign.pk}, user=engineer, team=team)
    assert offered(form) == []
    assert "version" in form.errors


def test_a_field_that_is_not_searched_is_not_found(client: Client, engineer: User) -> None:
    client.force_login(engineer)
    assert client.get(reverse("optimization:session-choices"), {"field": "criteria_set"}).status_code == 404


def test_starting_from_the_page_still_names_what_is_wrong(
    client: Client, engineer: User, start: Callable[..., OptimizationSession]
) -> None:
    client.force_login(engineer)
    page = client.post(reverse("optimization:session-new"), {"version": "999", "dataset": "x"})
    assert page.status_code == 422
    assert {"version", "dataset", "criteria_set"} <= page.context["form"].errors.keys()


def test_the_dashboard_shows_what_runs_first_and_says_how_many_more_wait(
    client: Client, engineer: User, many: list[OptimizationSession]
) -> None:
    """However many wait: their plans, reports and criteria are not read."""
    OptimizationSession.objects.update(status=Status.QUEUED, outcome="", verdict=None)
    OptimizationSession.objects.filter(pk=many[-1].pk).update(status=Status.RUNNING)
    client.force_login(engineer)
    page = client.get(reverse("optimization:dashboard"))
    shown = page.context["active"]
    assert [session.pk for session in shown[:2]] == [many[-1].pk, many[0].pk]
    assert (len(shown), page.context["more_active"]) == (MOST_ACTIVE, MANY - MOST_ACTIVE)
    assert f"{MANY - MOST_ACTIVE} more wait" in page.content.decode()


def test_a_place_in_the_queue_is_read_without_what_the_others_are_about(
    many: list[OptimizationSession],
) -> None:
    OptimizationSession.objects.update(status=Status.QUEUED)
    OptimizationSession.objects.filter(pk__in=[row.pk for row in many[:3]]).update(
        criteria_body={"target": {"device": "cuda"}}
    )
    SessionStep.objects.all().delete()
    session = OptimizationSession.objects.get(pk=many[0].pk)
    with CaptureQueriesContext(connection) as queries:
        waits = waits_of([session])
    assert {pk: (wait.queue, wait.place) for pk, wait in waits.items()} == {session.pk: ("gpu", 3)}
    assert len(queries) <= 12, "queries for each session that waits"
    assert not [one["sql"] for one in queries if '"plan"' in one["sql"] or '"result"' in one["sql"]]
