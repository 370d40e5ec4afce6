"""Plans that are edited before the start: by the API, on the page, in the session, its trail and its repetition."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from html import unescape
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from apps.accounts.models import User
from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.dataset_spec import Metric
from apps.agents.contracts.plan_edits import NO_EDITS, NamedLink, PlanEdits
from apps.agents.contracts.state import Status, StepKind
from apps.audit.models import AuditEvent
from apps.models.models import DataSet, ModelVersion
from apps.optimization import plan_moves, services
from apps.optimization.errors.starting import PlanEditsInvalid
from apps.optimization.models import AnalysisReport, CriteriaSet, OptimizationSession, SessionStep
from apps.optimization.recipe import recipe_of
from apps.optimization.snapshot import session_state
from tests.optimization import material

pytestmark = [pytest.mark.django_db, pytest.mark.portable]

SESSIONS = "/api/v1/sessions/"
STATIC, DYNAMIC, GRAPH, FLOAT16 = "onnx-static-int8", "onnx-dynamic-int8", "onnx-graph", "onnx-float16"
ADDED = {"added": [[{"technique": STATIC, "parameters": {"activation_type": "int8"}}]], "kept_layers": ["conv1"]}


@pytest.fixture
def api(engineer: User) -> APIClient:
    client = APIClient()
    client.force_authenticate(engineer)
    return client


@pytest.fixture
def question(version: ModelVersion, dataset: DataSet) -> dict[str, Any]:
    return {"version": version.pk, "dataset": dataset.pk, "criteria": {}}


@pytest.fixture
def analysed(start: Callable[..., OptimizationSession]) -> OptimizationSession:
    """A session that has analysed the version."""
    session = start()
    result = material.ANALYSIS.model_dump(mode="json")
    step = SessionStep.objects.create(
        session=session, key="analyse", kind=StepKind.ANALYSE, status=Status.COMPLETED, result=result
    )
    AnalysisReport.objects.create(session=session, step=step)
    return session


def chain(*techniques: str) -> list[dict[str, Any]]:
    return [{"technique": technique} for technique in techniques]


# --- by the API -------------------------------------------------------------------------------------------------------


def test_the_preview_shows_the_edited_plan_and_stores_nothing(api: APIClient, question: dict[str, Any]) -> None:
    answer = api.post(f"{SESSIONS}preview/", {**question, "edits": {**ADDED, "pinned": [chain(GRAPH)]}}, format="json")
    plan = answer.json()["plan"]
    assert [one["steps"][-1]["technique"] for one in plan["candidates"][:2]] == [GRAPH, STATIC]
    assert plan["candidates"][1]["steps"][-1]["parameters"]["keep_float_nodes"] == ["conv1"]
    assert {one["kind"]: one["applied"] for one in plan["edits"]} == dict.fromkeys(
        ("added", "pinned", "kept_layers"), True
    )
    assert answer.json()["wrong_edits"] == answer.json()["layers"] == []
    assert not OptimizationSession.objects.exists()


def test_a_session_is_frozen_with_its_edits_and_the_trail_has_them(
    api: APIClient, question: dict[str, Any], engineer: User
) -> None:
    answer = api.post(SESSIONS, {**question, "edits": ADDED}, format="json")
    assert (answer.status_code, answer.json()["edits"]["kept_layers"]) == (201, ["conv1"])
    session = OptimizationSession.objects.get()
    assert session_state(session).metric == Metric.TOP1
    assert session_state(session).edits == PlanEdits.model_validate(ADDED)
    event = AuditEvent.objects.get(action="session.started")
    assert event.actor == engineer.email
    assert event.data["edits"] == session.edits_body
    assert "The plan was edited: 1 added, 1 layer in float." in event.reason
    assert recipe_of(session).edits == session.edits_body
    session.begin()
    session.fail("test", "For a test.")
    assert services.session_retry(session, engineer).edits == session.edits


def test_a_session_without_edits_has_none(api: APIClient, question: dict[str, Any]) -> None:
    assert api.post(SESSIONS, {**question, "edits": {}}, format="json").json()["edits"] == {}
    assert OptimizationSession.objects.get().edits == NO_EDITS
    assert "edits" not in AuditEvent.objects.get(action="session.started").data


@pytest.mark.parametrize(
    ("edits", "field", "code", "words"),
    [
        ({"added": [[]]}, "edits.added.0", "too_short", "at least 1"),
        ({"keep": ["a"]}, "edits.keep", "extra_forbidden", "not permitted"),
        ({"added": [chain("onnx-int8")]}, "edits.added.0.0.technique", "technique_unknown", "onnx-static-int8"),
        (
            {"pinned": [[{"technique": STATIC, "parameters": {"weight_type": "int4"}}]]},
            "edits.pinned.0.0.parameters.weight_type",
            "parameter_invalid",
            "'int8', 'uint8'",
        ),
        ({"added": [chain(STATIC, GRAPH)]}, "edits.added.0", "order", "has narrowed them"),
    ],
)
def test_each_wrong_edit_is_refused_with_field_value_and_what_would_be_right(
    api: APIClient, question: dict[str, Any], edits: Mapping[str, Any], field: str, code: str, words: str
) -> None:
    answer = api.post(SESSIONS, {**question, "edits": edits}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (422, "session.plan_edits_invalid")
    (problem,) = answer.json()["errors"]
    assert (problem["field"], problem["code"]) == (field, code)
    assert words in problem["message"]
    assert not OptimizationSession.objects.exists()


def test_what_the_criteria_forbid_is_refused_and_the_preview_lists_it(api: APIClient, question: dict[str, Any]) -> None:
    asked = {**question, "criteria": {"forbidden_techniques": [STATIC]}, "edits": {"added": [chain(STATIC)]}}
    (problem,) = api.post(SESSIONS, asked, format="json").json()["errors"]
    assert problem["code"] == "technique_not_allowed"
    previewed = api.post(f"{SESSIONS}preview/", asked, format="json").json()
    assert [one["code"] for one in previewed["wrong_edits"]] == ["technique_not_allowed"]
    (told,) = previewed["plan"]["edits"]
    assert (told["applied"], "do not allow" in told["reason"]) == (False, True)


def test_layers_of_an_analysed_version_are_offered_and_checked(
    api: APIClient, question: dict[str, Any], analysed: OptimizationSession
) -> None:
    previewed = api.post(f"{SESSIONS}preview/", question, format="json").json()
    (form,) = previewed["layers"]
    assert (form["session"], [one["name"] for one in form["layers"]]) == (str(analysed.pk), ["conv1", "fc"])
    asked = {**question, "edits": {"kept_layers": ["conv2", "fc"]}}
    (problem,) = api.post(SESSIONS, asked, format="json").json()["errors"]
    assert (problem["field"], problem["code"]) == ("edits.kept_layers.0", "layer_unknown")
    assert "did you mean conv1?" in problem["message"]


def test_strangers_and_viewers_start_nothing_with_edits(
    question: dict[str, Any], viewer: User, stranger: User, analysed: OptimizationSession
) -> None:
    for user, expected in ((viewer, 403), (stranger, 404)):
        client = APIClient()
        client.force_authenticate(user)
        assert client.post(SESSIONS, {**question, "edits": ADDED}, format="json").status_code == expected


def test_the_command_takes_edits(version: ModelVersion, dataset: DataSet, engineer: User) -> None:
    arguments = [version.model.name, dataset.name, "--user", engineer.email]
    with pytest.raises(CommandError, match="no technique 'nothing'"):
        call_command("optimize", *arguments, "--edits", json.dumps({"added": [chain("nothing")]}))
    call_command("optimize", *arguments, "--edits", json.dumps(ADDED))
    assert OptimizationSession.objects.get().edits.kept_layers == ("conv1",)


# --- on the page ------------------------------------------------------------------------------------------------------


class Page:
    """The page of a new session as a browser uses it: every button posts the question and the edits so far."""

    def __init__(self, client: Client, question: Mapping[str, Any]) -> None:
        self.client, self.question, self.edits = client, question, ""
        self.text = ""
        self.press("session-preview")

    def press(self, address: str = "session-edit", **values: Any) -> Page:
        body = {**self.question, "edits": self.edits, **values}
        answer = self.client.post(reverse(f"optimization:{address}"), body)
        assert answer.status_code == 200
        self.text = answer.content.decode()
        if 'name="edits"' in self.text:
            self.edits = unescape(self.text.split('name="edits"')[1].split('value="')[1].split('"')[0])
        return self

    def row(self, words: str) -> dict[str, str]:
        """What the buttons of the first candidate with these words send along."""
        planned = self.text.split('aria-label="Planned candidates"')[1]
        row = next(one for one in planned.split('<tr><th scope="row">')[1:] if words in one)
        values: dict[str, str] = json.loads(unescape(row.split('hx-vals="')[1].split('"')[0]))
        return values

    @property
    def chosen(self) -> PlanEdits:
        return PlanEdits.model_validate_json(self.edits) if self.edits else NO_EDITS


@pytest.fixture
def page(client: Client, engineer: User, version: ModelVersion, dataset: DataSet) -> Page:
    client.force_login(engineer)
    criteria = CriteriaSet.objects.get(team=None, name="balanced")
    return Page(client, {"version": version.pk, "dataset": dataset.pk, "criteria_set": criteria.pk})


def test_buttons_remove_pin_and_reorder_candidates(page: Page) -> None:
    page.press(move="pin", **page.row("Dynamic int8")).press(move="pin", **page.row("Graph optimization"))
    assert [name[0].technique for name in page.chosen.pinned] == [DYNAMIC, GRAPH]
    page.press(move="up", **page.row("Graph optimization"))
    assert [name[0].technique for name in page.chosen.pinned] == [GRAPH, DYNAMIC]
    assert page.text.index("Graph optimization") < page.text.index("Dynamic int8")
    page.press(move="remove", **page.row("Dynamic int8"))
    assert ([name[0].technique for name in page.chosen.pinned], len(page.chosen.removed)) == ([GRAPH], 1)
    assert "A member removed it before the start." in page.text
    page.press(move="undo", field="removed.0").press(move="unpin", **page.row("Graph optimization"))
    assert page.chosen == NO_EDITS
    assert page.edits == ""


def test_a_form_built_from_the_specs_adds_a_chain(page: Page) -> None:
    assert "Only techniques that may come here" in page.text
    page.press("session-chain", move="show", technique="onnx-prune")
    assert 'name="link0-macs_removed"' in page.text
    answers = {"link0-macs_removed": "0.3", "link0-speedup_wanted": "0", "link0-latency_ms": "0"}
    answers |= {"link0-multiple_of": "8", "link0-importance": "l2", "link0-allocation": "uniform"}
    answers |= {"link0-calibration_examples": "64", "link0-ridge": "0.001"}
    page.press("session-chain", move="then", technique="onnx-prune", **answers)
    assert "First <strong>" in page.text
    draft = unescape(page.text.split('name="draft" value="')[1].split('"')[0])
    assert f'value="{STATIC}"' in page.text
    assert 'value="onnx-prune"' not in page.text
    page.press(move="add", draft=draft, technique=DYNAMIC, **{"link0-weight_type": "uint8"})
    (name,) = page.chosen.added
    assert [link.technique for link in name] == ["onnx-prune", DYNAMIC]
    assert name[0].parameters["macs_removed"] == 0.3
    assert name[1].parameters == {
        "weight_type": "uint8",
        "per_channel": False,
        "keep_float_operators": [],
        "keep_float_nodes": [],
    }
    assert "A member added it." in page.text


def test_weights_of_7_bits_are_in_the_chain_only_if_they_are_ticked(page: Page) -> None:
    types = {"link0-activation_type": "uint8", "link0-weight_type": "int8", "link0-calibration": "minmax"}
    answers = {**types, "link0-calibration_examples": "64"}
    page.press("session-chain", move="show", technique=STATIC)
    assert 'name="link0-reduce_range"' in page.text
    page.press(move="add", technique=STATIC, **answers)
    page.press(move="add", technique=STATIC, **answers, **{"link0-reduce_range": "on"})

    plain, narrow = (name[-1].parameters for name in page.chosen.added)
    assert "reduce_range" not in plain
    assert narrow == {**plain, "reduce_range": True}


def test_the_form_offers_what_a_resolution_permits(page: Page, team: Any) -> None:
    asked = {"allowed_techniques": ["onnx-prune", DYNAMIC], "forbidden_techniques": ["onnx-prune"]}
    torn = CriteriaSet.objects.create(team=team, name="Torn", body=Criteria(**asked).model_dump(mode="json"))
    page.question = {**page.question, "criteria_set": torn.pk}
    page.press("session-chain", move="show", technique=DYNAMIC)
    assert 'value="onnx-prune"' not in page.text
    resolved = {"resolution": "technique_forbidden/onnx-prune/permit"}
    page.press("session-chain", move="show", technique=DYNAMIC, **resolved)
    assert 'value="onnx-prune"' in page.text


def test_an_answer_that_a_spec_does_not_allow_shows_the_form_again(page: Page) -> None:
    page.press(move="add", technique=STATIC, **{"link0-weight_type": "int7"})
    assert 'id="plan-chain" open' in page.text
    assert "int7 is not one of the available choices" in page.text
    assert page.chosen == NO_EDITS


def test_parameters_of_a_planned_candidate_are_set_by_hand(page: Page) -> None:
    row = page.row("Dynamic int8")
    page.press("session-chain", move="show", **row)
    assert "Set these parameters" in page.text
    page.press(move="set", **row, **{"link0-weight_type": "uint8", "link0-keep_float_nodes": "a\nb"})
    (change,) = page.chosen.changed
    assert change.candidate[-1].technique == DYNAMIC
    assert change.parameters[DYNAMIC]["keep_float_nodes"] == ["a", "b"]
    assert "A member set" in page.text


def test_layers_are_ticked_ranked_and_found(page: Page, analysed: OptimizationSession) -> None:
    assert page.press("session-preview").text.index("conv1") < page.text.index(">fc<")
    page.press("session-layers", rank="operator", words="gemm", layer=["conv1"])
    assert 'aria-sort="ascending"' in page.text
    hidden = unescape(page.text.split('name="layers_not_shown" value="')[1].split('"')[0])
    assert (json.loads(hidden), 'value="fc"' in page.text, 'value="conv1"' in page.text) == (["conv1"], True, False)
    page.press(move="keep", layer=["fc"], layers_not_shown=hidden)
    assert page.chosen.kept_layers == ("conv1", "fc")
    assert "Keep layers in float (2)" in page.text


def test_edits_that_no_longer_fit_are_shown_with_a_way_to_undo_them(page: Page, team: Any, engineer: User) -> None:
    page.press(move="add", technique=DYNAMIC, **{"link0-weight_type": "uint8"})
    body = Criteria(forbidden_techniques=(DYNAMIC,)).model_dump(mode="json")
    page.question = {**page.question, "criteria_set": CriteriaSet.objects.create(team=team, name="x", body=body).pk}
    page.press("session-preview")
    assert "would be refused" in page.text
    assert "technique_not_allowed" in page.text
    answer = page.client.post(reverse("optimization:session-new"), {**page.question, "edits": page.edits})
    assert (answer.status_code, "edits.added.0" in answer.content.decode()) == (422, True)
    assert page.press(move="undo", field="added.0").chosen == NO_EDITS


def test_the_page_starts_the_session_and_shows_who_edited_what(page: Page, engineer: User) -> None:
    page.press(move="remove", **page.row("Dynamic int8"))
    answer = page.client.post(reverse("optimization:session-new"), {**page.question, "edits": page.edits})
    session = OptimizationSession.objects.get()
    assert (answer.status_code, len(session.edits.removed)) == (302, 1)
    shown = page.client.get(session.get_absolute_url()).content.decode()
    assert f"by {engineer}, before the start: 1 removed" in shown
    again = page.client.get(reverse("optimization:session-new"), {"again": session.pk}).content.decode()
    assert "&quot;removed&quot;" in again


def test_edits_of_a_session_of_another_team_are_not_carried_over(
    client: Client, stranger: User, start: Callable[..., OptimizationSession]
) -> None:
    session = start(edits=ADDED)
    client.force_login(stranger)
    page = client.get(reverse("optimization:session-new"), {"again": session.pk}).content.decode()
    assert "conv1" not in page


@pytest.mark.parametrize("edits", ["{", '"x"', '{"added": [[]]}', "[1]"])
def test_broken_edits_are_refused_on_the_page(page: Page, edits: str) -> None:
    answer = page.client.post(reverse("optimization:session-new"), {**page.question, "edits": edits})
    assert (answer.status_code, 'role="alert"' in answer.content.decode()) == (422, True)


# --- what buttons do --------------------------------------------------------------------------------------------------


def named(*techniques: str) -> tuple[NamedLink, ...]:
    return tuple(NamedLink(technique=technique) for technique in techniques)


def test_an_added_chain_that_is_changed_or_removed_is_changed_where_it_was_added() -> None:
    edits = plan_moves.pinned(plan_moves.added(NO_EDITS, named(STATIC)), named(STATIC))
    changed = plan_moves.changed(edits, named(STATIC), {STATIC: {"per_channel": False}})
    assert changed.added == changed.pinned
    assert (changed.added[0][0].parameters, changed.changed) == ({"per_channel": False}, ())
    assert plan_moves.removed(edits, named(STATIC)) == NO_EDITS
    assert plan_moves.undone(edits, "added.0") == NO_EDITS
    assert plan_moves.undone(edits, "added.7") == plan_moves.undone(edits, "colour.0") == edits


def test_changes_of_the_same_candidate_are_one_change() -> None:
    once = plan_moves.changed(NO_EDITS, named(STATIC), {STATIC: {"per_channel": False}})
    twice = plan_moves.changed(once, named(STATIC), {STATIC: {"weight_type": "uint8"}})
    assert [one.parameters for one in twice.changed] == [{STATIC: {"per_channel": False, "weight_type": "uint8"}}]
    assert plan_moves.changed(once, named(STATIC), {STATIC: {}}) == once


def test_services_refuse_edits_of_a_wrong_form() -> None:
    with pytest.raises(PlanEditsInvalid, match=r"edits\.pinned"):
        services.parse_edits({"pinned": 3})
