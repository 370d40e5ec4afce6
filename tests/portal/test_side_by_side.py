"""Sessions, candidates and versions side by side, and a model over its versions: rows, refusals, addresses."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import Membership, Role, Team, User
from apps.agents.contracts.reports.model import ModelSummary
from apps.models.models import AliasMove, InspectionStatus, ModelMetadata, ModelVersion
from apps.optimization.models import CriteriaSet, OptimizationSession, SessionStep
from apps.optimization.side_by_side.comparison import as_csv, comparison
from apps.optimization.side_by_side.trends import lines_of, trend_of
from tests.portal import world
from tests.portal.world import World

pytestmark = pytest.mark.django_db

MOST_QUERIES = 20


@pytest.fixture
def everything(team: Team, owner: User, engineer: User, viewer: User, stranger: User) -> World:
    return world.build(team, owner)


def another_version(everything: World, number: int, **fields: Any) -> ModelVersion:
    """A version whose weights are int8 instead of float32, with scales of their own."""
    version = ModelVersion.objects.create(
        model=everything.model,
        number=number,
        blob=world.stored(f"the bytes of version {number}".encode()),
        filename="resnet.onnx",
        status=InspectionStatus.READY,
        created_by=everything.session.created_by,
        **fields,
    )
    summary = world.report_body("analysis")["model"]
    weights = [
        {"name": "stem.weight_quantized", "dtype": "int8", "shape": [8, 4]},
        {"name": "stem.weight_scale", "dtype": "float32", "shape": [8]},
        {"name": "head.weight", "dtype": "float32", "shape": [10, 8]},
    ]
    ModelMetadata.record(version, ModelSummary.model_validate({**summary, "weights": weights}))
    return version


def name_weights(version: ModelVersion) -> None:
    weights = [
        {"name": "stem.weight", "dtype": "float32", "shape": [8, 4]},
        {"name": "head.weight", "dtype": "float32", "shape": [10, 8]},
    ]
    summary = version.metadata.summary.model_dump(mode="json")
    ModelMetadata.record(version, ModelSummary.model_validate({**summary, "weights": weights}))


def another_session(everything: World, *, latency_factor: float = 1.0, metric_off: float = 0.0) -> OptimizationSession:
    """Like the world's own, with other numbers."""
    body = {**everything.criteria.body, "confidence": 0.9}
    criteria = CriteriaSet.objects.create(team=everything.team, name=f"other {uuid4().hex[:6]}", body=body)
    session = world.finished_session(everything.version, everything.dataset, criteria, everything.session.created_by)
    step = SessionStep.objects.get(session=session, key="c01/evaluate")
    result = step.result
    result["latency"]["candidate_p50_ms"] = {"value": 0.2 * latency_factor, "low": 0.19 * latency_factor, "high": 0.21}
    result["latency"]["candidate_p50_ms"]["high"] = 0.21 * latency_factor
    for name in ("value", "low", "high"):
        result["metrics"][0]["candidate"][name] += metric_off
    step.result = result
    step.save()
    return session


def cells(value: Any, label: str) -> Any:
    return next(row for section in value.sections for row in section.rows if row.label == label)


def test_numbers_differ_only_where_their_intervals_do_not_overlap(everything: World, owner: User) -> None:
    near = another_session(everything, latency_factor=1.02, metric_off=0.1)
    far = another_session(everything, latency_factor=3.0)
    same = comparison([f"session:{near.pk}", f"session:{another_session(everything).pk}"], owner).value
    apart = comparison([f"session:{near.pk}", f"session:{far.pk}"], owner).value

    assert cells(same, "Latency, p50").difference == "not shown"
    assert cells(same, "Top-1 accuracy").difference == "not shown"
    assert cells(same, "Size").difference == "same"
    row = cells(apart, "Latency, p50")
    assert row.differs
    assert [cell.value for cell in row.cells] == pytest.approx([0.204, 0.6])
    assert row.cells[0].interval == "0.194 ms to 0.214 ms"
    measured = next(section for section in apart.sections if section.title == "Measured")
    places = [row.differs for row in measured.rows]
    assert places == sorted(places, reverse=True), "those that differ come first"


def test_criteria_show_only_the_fields_that_differ(everything: World, owner: User) -> None:
    other = another_session(everything)
    value = comparison([f"session:{everything.session.pk}", f"session:{other.pk}"], owner).value
    criteria = next(section for section in value.sections if section.title == "Criteria")
    assert [(row.label, [cell.words for cell in row.cells]) for row in criteria.rows] == [
        ("Confidence", ["0.95", "0.9"])
    ]


def test_a_recipe_shows_chain_and_parameters_side_by_side(everything: World, owner: User) -> None:
    other = another_session(everything)
    row = other.candidates.get(key="c01")
    row.steps[-1]["parameters"] = {**row.steps[-1]["parameters"], "per_channel": "never"}
    row.save()
    items = [f"candidate:{everything.session.pk}:c01", f"candidate:{other.pk}:c01"]
    value = comparison(items, owner).value
    recipe = next(section for section in value.sections if section.title == "Recipe")
    differing = [row for row in recipe.rows if row.differs]
    assert [row.cells[1].words for row in differing] == ["never"]
    assert differing[0].label.endswith(": per channel")
    assert any(row.label == "Chain" and not row.differs for row in recipe.rows)


def test_layers_of_versions_are_matched_although_quantization_renames_them(everything: World, owner: User) -> None:
    name_weights(everything.version)
    other = another_version(everything, 2)
    layers = comparison([f"version:{everything.version.pk}", f"version:{other.pk}"], owner).value.layers
    assert layers is not None
    shown = {row.name: ([cell.words for cell in row.cells], row.differs) for row in layers.rows}
    assert shown == {
        "stem.weight": (["float32, 128 bytes", "int8, 64 bytes"], True),
        "head.weight": (["float32, 320 bytes", "float32, 320 bytes"], False),
    }
    assert layers.rows[0].name == "stem.weight"


def test_a_version_is_read_where_it_was_made_and_where_it_was_the_original(everything: World, owner: User) -> None:
    step = everything.session.steps.get(key="c01/optimize")
    everything.session.steps.filter(key="c01/evaluate").update(parent_key=step.key)
    made = another_version(everything, 2, source_session=everything.session.pk, source_step=step.key)
    value = comparison([f"version:{everything.version.pk}", f"version:{made.pk}"], owner).value
    original, candidate = (one.reading for one in value.items)
    report = world.report_body("evaluation")
    assert original is not None
    assert candidate is not None
    assert (original.role, candidate.role) == ("original", "candidate")
    assert original.primary.value.value == report["metrics"][0]["original"]["value"]
    assert candidate.primary.value.value == report["metrics"][0]["candidate"]["value"]
    assert value.dataset is not None
    assert value.dataset.versions == 2
    recipe = next(section for section in value.sections if section.title == "Recipe")
    assert recipe.rows[0].cells[0].words == "none"
    assert recipe.rows[0].cells[1].words != "none"


def test_a_version_that_was_never_measured_is_said_to_be(everything: World, owner: User) -> None:
    other = another_version(everything, 2)
    value = comparison([f"version:{everything.version.pk}", f"version:{other.pk}"], owner).value
    assert value.items[1].reading is None
    assert f"Nothing was measured of {other}." in value.cautions
    assert cells(value, "Latency, p95").difference == "not known"


def test_cautions_name_other_machines_and_data(everything: World, owner: User) -> None:
    other = another_session(everything)
    step = SessionStep.objects.get(session=other, key="c01/evaluate")
    step.result["machine"]["hostname"] = "elsewhere"
    step.save()
    data = everything.dataset
    data.pk, data.name = None, "night images"
    data.save()
    other.dataset = data
    other.save()
    said = " ".join(comparison([f"session:{everything.session.pk}", f"session:{other.pk}"], owner).value.cautions)
    assert "different machines" in said
    assert "elsewhere" in said
    assert "different data sets (night images and test images)" in said


# --- refusals ---------------------------------------------------------------------------------------------------------


def refusals(everything: World) -> dict[str, tuple[list[str], int]]:
    session, version = f"session:{everything.session.pk}", f"version:{everything.version.pk}"
    return {
        "compare.too_few": ([session, session], 422),
        "compare.too_many": ([f"candidate:{everything.session.pk}:c{number:02}" for number in range(7)], 422),
        "compare.kinds_differ": ([session, version], 422),
        "compare.item_unknown": ([session, "model:3"], 404),
    }


@pytest.mark.parametrize(
    "code", ["compare.too_few", "compare.too_many", "compare.kinds_differ", "compare.item_unknown"]
)
def test_what_cannot_be_compared_is_refused_on_page_and_api(
    client: Client, everything: World, owner: User, code: str
) -> None:
    items, status = refusals(everything)[code]
    client.force_login(owner)
    page = client.get(reverse("optimization:compare"), {"item": items})
    assert page.status_code == status
    assert code in page.content.decode()
    answer = client.get("/api/v1/compare/", {"item": items})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert client.get("/compare/", {"item": items, "export": "csv"}).status_code == status


@pytest.mark.parametrize("item", ["session:{}", "candidate:{}:c01", "version:{}"])
def test_what_belongs_to_others_looks_like_nothing(
    client: Client, everything: World, stranger: User, item: str
) -> None:
    pk = everything.version.pk if item.startswith("version") else everything.session.pk
    client.force_login(stranger)
    answer = client.get("/api/v1/compare/", {"item": [item.format(pk), item.format(uuid4())]})
    assert (answer.status_code, answer.json()["code"]) == (404, "compare.item_unknown")
    assert "resnet" not in client.get("/compare/", {"item": [item.format(pk), item.format(pk) + "1"]}).content.decode()


def test_a_candidate_that_a_session_does_not_have_is_refused(client: Client, everything: World, owner: User) -> None:
    client.force_login(owner)
    items = [f"candidate:{everything.session.pk}:c01", f"candidate:{everything.session.pk}:c77"]
    assert client.get("/api/v1/compare/", {"item": items}).json()["code"] == "compare.item_unknown"


def test_items_of_two_teams_are_refused_even_to_a_member_of_both(
    client: Client, everything: World, owner: User
) -> None:
    team = Team.objects.create(name="Zebra", slug="zebra")
    Membership.objects.create(team=team, user=owner, role=Role.OWNER)
    other = world.OptimizationSession.objects.get(pk=another_session(everything).pk)
    other.team = team
    other.save()
    client.force_login(owner)
    answer = client.get("/api/v1/compare/", {"item": [f"session:{everything.session.pk}", f"session:{other.pk}"]})
    assert (answer.status_code, answer.json()["code"]) == (422, "compare.teams_differ")


# --- pages ------------------------------------------------------------------------------------------------------------


def test_an_address_opens_for_a_team_mate_and_hides_what_is_the_same(
    client: Client, everything: World, viewer: User
) -> None:
    items = {"item": [f"session:{everything.session.pk}", f"session:{another_session(everything).pk}"]}
    client.force_login(viewer)
    every = client.get("/compare/", items).content.decode()
    only = client.get("/compare/", {**items, "only": "differences"}).content.decode()
    assert '<th scope="row">Seed</th>' in every
    assert '<th scope="row">Seed</th>' not in only
    assert '<th scope="row">Confidence</th>' in every
    assert '<th scope="row">Confidence</th>' in only
    assert every.count('class="front-point compare-mark-') == 4, "two pictures of two sides"
    assert "measure-in-turns" not in every, "versions are measured in turns, sessions are not"


def test_without_anything_chosen_the_page_says_how(client: Client, everything: World, viewer: User) -> None:
    client.force_login(viewer)
    response = client.get("/compare/")
    assert response.status_code == 200
    assert "Choose 2 to 6 to compare" in response.content.decode()


def test_six_sessions_need_few_queries(
    client: Client, everything: World, owner: User, django_assert_max_num_queries: Any
) -> None:
    items = [f"session:{another_session(everything).pk}" for _ in range(6)]
    client.force_login(owner)
    client.get("/account/time-zone/")  # the first page of a login makes a note of it
    with django_assert_max_num_queries(MOST_QUERIES):
        assert client.get("/compare/", {"item": items}).status_code == 200


def test_six_versions_and_their_trend_need_few_queries(
    client: Client, everything: World, owner: User, django_assert_max_num_queries: Any
) -> None:
    step = everything.session.steps.get(key="c01/optimize")
    more = {"source_session": everything.session.pk, "source_step": step.key}
    made = [another_version(everything, number, **more) for number in range(2, 8)]
    client.force_login(owner)
    client.get("/account/time-zone/")  # the first page of a login makes a note of it
    with django_assert_max_num_queries(MOST_QUERIES):
        response = client.get("/compare/", {"item": [f"version:{one.pk}" for one in made]})
    assert "measure-in-turns" in response.content.decode()
    with django_assert_max_num_queries(MOST_QUERIES):
        assert 'id="trend"' in client.get(everything.model.get_absolute_url()).content.decode()


def test_the_file_has_numbers_and_no_formulas(client: Client, everything: World, owner: User) -> None:
    ModelVersion.objects.filter(pk=everything.version.pk).update(description="=1+1")
    everything.model.name = "=cmd"
    everything.model.save()
    items = [f"session:{everything.session.pk}", f"session:{another_session(everything).pk}"]
    client.force_login(owner)
    text = client.get("/api/v1/compare/csv/", {"item": items}).content.decode()
    assert text == client.get("/compare/", {"item": items, "export": "csv"}).content.decode("utf-8-sig")
    assert text == as_csv(comparison(items, owner).value)
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0][4].startswith("'=cmd")
    p50 = next(row for row in rows if row[1] == "Latency, p50")
    assert p50[2:4] == ["ms", "differs"]
    assert float(p50[7]) == pytest.approx(0.2)
    assert float(p50[8]) == pytest.approx(0.19)


# --- trends -----------------------------------------------------------------------------------------------------------


def test_a_trend_marks_promotions_and_moves_back(client: Client, everything: World, owner: User) -> None:
    other = another_version(everything, 2)
    first = AliasMove.objects.get(alias=everything.alias)
    move = AliasMove.objects.create(
        alias=everything.alias, from_version=everything.version, to_version=other, moved_by=owner
    )
    AliasMove.objects.create(
        alias=everything.alias, from_version=other, to_version=everything.version, undoes=move, moved_by=owner
    )
    trend = trend_of(everything.model)
    assert [point.number for point in trend.points] == [1, 2]
    assert [(one.alias, one.back) for one in trend.points[0].promotions] == [
        ("production", False),
        ("production", True),
    ]
    assert trend.points[0].promotions[0].at == first.moved_at
    assert [one.back for one in trend.points[1].promotions] == [False]
    assert trend.points[0].measured is not None
    assert trend.points[1].measured is None
    names = {line.name: [dot.promoted for dot in line.dots] for line in lines_of(trend)}
    assert names == {
        "Top-1 accuracy (%)": ["production"],
        "Latency (p50, ms)": ["production"],
        "Size": ["production", "production"],
    }
    client.force_login(owner)
    answer = client.get(f"/api/v1/trends/?model={everything.model.pk}").json()
    assert client.get("/api/v1/trends/").status_code == 400
    assert [point["number"] for point in answer["points"]] == [1, 2]
    page = client.get(everything.model.get_absolute_url()).content.decode()
    assert "production, moved back" in page


def test_a_trend_is_on_the_data_set_with_most_versions_or_on_the_one_asked_for(everything: World) -> None:
    data = everything.dataset
    mine = data.pk
    other = another_session(everything)
    data.pk, data.name = None, "night images"
    data.save()
    OptimizationSession.objects.filter(pk=other.pk).update(dataset=data)
    step = everything.session.steps.get(key="c01/optimize")
    everything.session.steps.filter(key="c01/evaluate").update(parent_key=step.key)
    another_version(everything, 2, source_session=everything.session.pk, source_step=step.key)
    assert trend_of(everything.model).dataset.id == mine  # type: ignore[union-attr]
    asked = trend_of(everything.model, data.pk)
    assert [point.measured is not None for point in asked.points] == [True, False]
    assert [one.versions for one in asked.datasets] == [2, 1]


def test_the_newest_measurement_on_test_examples_counts(everything: World) -> None:
    newer = another_session(everything)
    chosen = SessionStep.objects.get(session=newer, key="c01/evaluate")
    chosen.parameters = {"part": "choosing"}
    chosen.save()
    later = timezone.now() + timedelta(hours=1)
    type(newer.candidates.get().evaluation).objects.filter(step=chosen).update(created_at=later)
    another_version(everything, 2)
    measured = trend_of(everything.model).points[0].measured
    assert measured is not None
    assert measured.session == everything.session.pk


# --- measuring two versions, and starting again -----------------------------------------------------------------------


def test_two_versions_are_measured_from_a_page(client: Client, everything: World, engineer: User) -> None:
    other = another_version(everything, 2)
    client.force_login(engineer)
    ticked = {"item": [f"version:{other.pk}", f"version:{everything.version.pk}"]}
    page = client.get("/sessions/new/compare/", ticked).content.decode()
    assert f'<option value="{everything.version.pk}" selected>resnet v1 (production)</option>' in page
    assert f'<option value="{other.pk}" selected>resnet v2</option>' in page
    asked = {"version": everything.version.pk, "compared": other.pk, "dataset": everything.dataset.pk}
    response = client.post("/sessions/new/compare/", {**asked, "criteria_set": everything.criteria.pk})
    session = OptimizationSession.objects.get(compared=other)
    assert response.headers["Location"] == session.get_absolute_url()
    assert (session.version, session.dataset, session.created_by) == (everything.version, everything.dataset, engineer)
    again = client.get(session.get_absolute_url()).content.decode()
    assert f"/sessions/new/compare/?version={everything.version.pk}&amp;compared={other.pk}" in again


def test_a_refused_comparison_shows_why_on_its_page(client: Client, everything: World, engineer: User) -> None:
    other = another_version(everything, 2)
    client.force_login(engineer)
    asked = {"version": everything.version.pk, "compared": other.pk, "dataset": everything.dataset.pk}
    limitless = {**everything.criteria.body, "constraints": {"max_metric_drop_points": None}}
    criteria = CriteriaSet.objects.create(team=everything.team, name="no limits", body=limitless)
    response = client.post("/sessions/new/compare/", {**asked, "criteria_set": criteria.pk})
    assert response.status_code == 422
    assert "session.nothing_to_prove" in response.content.decode()
    assert not OptimizationSession.objects.filter(compared=other).exists()
    missing = client.post("/sessions/new/compare/", {"version": everything.version.pk})
    assert missing.status_code == 422


def test_an_alias_stands_for_its_version_in_the_api(client: Client, everything: World, engineer: User) -> None:
    other = another_version(everything, 2)
    client.force_login(engineer)
    body = {"compared": other.pk, "dataset": everything.dataset.pk, "criteria_set": everything.criteria.pk}

    def ask(**more: object) -> Any:
        return client.post("/api/v1/sessions/compare/", {**body, **more}, content_type="application/json")

    made = ask(alias="production")
    assert (made.status_code, made.json()["version"]) == (201, everything.version.pk)
    assert ask(alias="staging").status_code == 404
    assert [ask().status_code, ask(alias="production", version=other.pk).status_code] == [400, 400]


def test_any_session_can_be_asked_again_with_its_limits_to_edit(
    client: Client, everything: World, engineer: User
) -> None:
    earlier = everything.session
    body = {**earlier.criteria_body, "constraints": {**earlier.criteria_body["constraints"], "max_latency_ms": 12.5}}
    OptimizationSession.objects.filter(pk=earlier.pk).update(criteria_body=body)
    client.force_login(engineer)
    assert f"/sessions/new/?again={earlier.pk}" in client.get(earlier.get_absolute_url()).content.decode()
    form = client.get("/sessions/new/", {"again": str(earlier.pk)}).context["form"]
    values = {one.html_name: one.value() for one in [*form, *form.own]}
    assert values["own-max_latency_ms"] == 12.5
    assert [values[name] for name in ("version", "dataset")] == [earlier.version_id, earlier.dataset_id]

    given = {name: value for name, value in values.items() if value is not None and value is not False}
    given |= {"own": "on", "own-max_latency_ms": "7.5", "start_anyway": "on"}
    assert 'id="preview-plan"' in client.post("/sessions/new/preview/", given).content.decode()
    response = client.post("/sessions/new/", given)
    assert response.status_code == 302, response.context["form"].errors
    made = OptimizationSession.objects.latest("created_at")
    assert made.criteria.constraints.max_latency_ms == 7.5
    assert made.criteria_set == earlier.criteria_set
    assert made.criteria.objective == earlier.criteria.objective


def test_a_limit_that_cannot_be_used_is_shown_beside_its_field(
    client: Client, everything: World, engineer: User
) -> None:
    client.force_login(engineer)
    form = client.get("/sessions/new/", {"again": str(everything.session.pk)}).context["form"]
    given = {
        one.html_name: one.value() for one in [*form, *form.own] if one.value() is not None and one.value() is not False
    }
    response = client.post("/sessions/new/", {**given, "own": "on", "own-confidence": "7"})
    assert response.status_code == 422
    assert "confidence" in response.context["form"].own.errors


def test_the_session_of_another_team_fills_no_form(client: Client, everything: World, stranger: User) -> None:
    client.force_login(stranger)
    response = client.get("/sessions/new/", {"again": str(everything.session.pk)})
    assert response.context["form"].own is None
    assert client.get(f"/api/v1/trends/?model={everything.model.pk}").status_code == 404
