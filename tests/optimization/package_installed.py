"""What Lathe does with the technique of examples/acme-lathe, in an interpreter where that package is installed.

No suite collects this file: tests/agents/techniques/test_third_party_technique.py runs it where the package is.
"""

from __future__ import annotations

import re
from dataclasses import replace
from html import escape
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from apps.accounts.models import Team, User
from apps.agents.contracts.criteria import Budget, Constraints, Criteria, Objective
from apps.agents.contracts.state import CandidateStatus, Outcome, Status
from apps.agents.techniques.catalogue import catalogue
from apps.guide.finding import find
from apps.models.models import DataSet, ModelVersion
from apps.optimization import services
from apps.optimization.admin import PipelineSettingsForm
from apps.optimization.forms.criteria import CriteriaForm
from apps.optimization.models import Worker
from tests.agents.inmemory import InMemoryPipeline, resnet
from tests.optimization import crank
from tests.optimization.test_real_sessions import made_again, unlabelled, uploaded

PALETTE = "acme-palette"
SMALLER = Criteria(
    objective=Objective.SIZE,
    constraints=Constraints(max_metric_drop_points=10.0, min_size_reduction=2.0),
    allowed_techniques=(PALETTE,),
    budget=Budget(minutes=1.0, candidates=4),
)
GRID = [(256, "even"), (256, "quantiles"), (64, "even"), (64, "quantiles")]


def test_forms_and_the_admin_offer_it() -> None:
    offered = [field for field in CriteriaForm().fields.values() if PALETTE in dict(getattr(field, "choices", ()))]
    assert len(offered) == 3  # Allowed, required and forbidden ones.
    assert PALETTE in dict(PipelineSettingsForm().fields["disabled_techniques"].choices)


@pytest.mark.django_db
def test_the_api_and_the_page_of_workers_say_who_can_run_it(team: Team, engineer: User, client: Client) -> None:
    libraries = dict.fromkeys(catalogue()[PALETTE].requires, "1")
    Worker.objects.create(name="shed:1", queues=["default", "cpu"], machine={"libraries": libraries})
    api = APIClient()
    api.force_authenticate(engineer)
    (told,) = [one for one in api.get("/api/v1/techniques/").json() if one["spec"]["name"] == PALETTE]
    assert told["workers"] == ["shed:1"]
    assert [one["search"] for one in told["spec"]["parameters"]] == [[256, 64], ["even", "quantiles"], []]
    client.force_login(engineer)
    assert PALETTE in client.get(reverse("optimization:workers")).content.decode()


@pytest.mark.django_db
def test_the_documentation_has_a_section_about_it_that_the_search_finds(viewer: User, client: Client) -> None:
    client.force_login(viewer)
    page = client.get(reverse("guide:document", args=["techniques"])).content.decode()
    _, chapter = page.split('<h2 id="techniques-of-installed-packages">')
    spec = catalogue()[PALETTE]
    assert f'<h3 id="palette-{PALETTE}">Palette (<code>{PALETTE}</code>)</h3>' in chapter
    assert "From the package <code>acme-lathe</code> 1.0, for ONNX." in chapter
    assert escape(spec.summary, quote=False) in chapter
    assert 'Han et al. 2016, <a href="https://arxiv.org/abs/1510.00149">' in chapter
    rows = [re.findall("<td>(.*?)</td>", row) for row in chapter.split("<tr")[2:]]
    assert [row[1:4] for row in rows] == [
        ["16, 64, 256", "256", "256, 64"],
        ["even, quantiles", "even", "even, quantiles"],
        ["names of nodes or operators", "none", "only the default"],
    ]
    assert [row[4] for row in rows] == [escape(one.help, quote=False) for one in spec.parameters]
    (found,) = find(viewer, "Palette acme-lathe")
    assert f"/docs/techniques/#palette-{PALETTE}" in [one.address for one in found.findings]


@pytest.mark.django_db
def test_the_preview_plans_its_grid(version: ModelVersion, dataset: DataSet) -> None:
    plan = services.session_preview(version, dataset, SMALLER).plan
    assert [(one.parameters["values"], one.parameters["spacing"]) for one in plan.candidates] == GRID
    assert plan.candidates[0].title == "Palette: values 256; spacing even"
    assert len({one.title for one in plan.candidates}) == len(GRID)


def test_a_variant_that_loses_too_much_is_repaired() -> None:
    """Nobody wrote a rule for it: it has a parameter for the nodes that stay in float, and so it is repaired."""
    world = replace(resnet(), fragile_nodes={"conv0": 20.0, "conv1": 5.0}, fragile_operators={})
    run = InMemoryPipeline(world, SMALLER.model_copy(update={"budget": Budget(candidates=12)})).run()
    repaired = [one for one in run.last.candidates if one.parent is not None]
    assert repaired
    assert all(one.technique == PALETTE and one.parameters["keep_float_nodes"] for one in repaired)
    chosen = run.candidate(run.last.verdict.candidate)
    assert chosen.status is CandidateStatus.SELECTED
    assert {"conv0", "conv1"} <= set(chosen.parameters["keep_float_nodes"])


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("impatient")
def test_a_session_tries_its_grid_packs_the_best_and_its_recipe_makes_the_same_again(
    team: Team, engineer: User, tmp_path: Path
) -> None:
    case = unlabelled()
    version, dataset = uploaded(team, engineer, case)
    session = services.session_start(user=engineer, version=version, dataset=dataset, criteria=SMALLER, seed=7)
    crank.turn_until_quiet()
    session.refresh_from_db()
    assert (session.status, session.outcome) == (Status.COMPLETED, Outcome.IMPROVED), session.verdict
    report = services.report(session)
    assert report.winner is not None
    assert report.winner.technique == PALETTE
    assert sum(one.evaluation is not None for one in report.candidates) > 1
    assert made_again(session, case, tmp_path).same
