"""What is not the primary metric is judged too: a second head that breaks, further metrics, sequences of classes."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from onnx import helper

from apps.agents.contracts.criteria import Constraints
from apps.agents.contracts.state import Outcome
from apps.optimization.criteria import change, create
from apps.optimization.models import OptimizationSession
from lathe.testing.data_sets import npz
from tests.agents import graphs
from tests.door import Door, quick
from tests.doors import test_groups as faint
from tests.optimization.test_real_sessions import answers, network

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

EXAMPLES = 240
TECHNIQUE = "onnx-dynamic-int8"
X = np.random.default_rng(4).normal(size=(EXAMPLES, 32)).astype(np.float32)
SPEC = {"kind": "npz", "task": "classification"}


def two_heads(loudest: float) -> bytes:
    """[N, 32] → `scores` [N, 3] and `age` [N, 1], each from 64 hidden units of its own.

    The input of the second head has one entry that grows with `loudest` and that its weights ignore: a single scale for
    all entries then leaves the others few of the 256 steps.
    """
    random = graphs.rng()
    loud = np.zeros(32, np.float32)
    loud[0] = loudest
    weights = {
        "w1": (random.normal(size=(32, 64)) / 6).astype(np.float32),
        "w2": (random.normal(size=(64, 3)) / 8).astype(np.float32),
        "loud": loud,
        "w3": (random.normal(size=(32, 64)) / 6).astype(np.float32),
        "w4": (random.normal(size=(64, 1)) / 8).astype(np.float32),
    }
    weights["w3"][0] = 0
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["h1"], name="first"),
        helper.make_node("Relu", ["h1"], ["r1"], name="relu1"),
        helper.make_node("MatMul", ["r1", "w2"], ["scores"], name="second"),
        helper.make_node("Mul", ["x", "x"], ["squared"], name="squared"),
        helper.make_node("Mul", ["squared", "loud"], ["loudly"], name="loudly"),
        helper.make_node("Add", ["x", "loudly"], ["louder"], name="louder"),
        helper.make_node("MatMul", ["louder", "w3"], ["h2"], name="third"),
        helper.make_node("Relu", ["h2"], ["r2"], name="relu2"),
        helper.make_node("MatMul", ["r2", "w4"], ["age"], name="fourth"),
    ]
    ends = [graphs.value("x", "N", 32)], [graphs.value("scores", "N", 3), graphs.value("age", "N", 1)]
    return graphs.model_of(nodes, *ends, weights).SerializeToString()


def sequences() -> bytes:
    """[N, 12, 16] → MatMul (64) → Relu → MatMul → [N, 12, 6]: one score per class at each step."""
    random = graphs.rng()
    weights = {
        "w1": (random.normal(size=(16, 64)) / 4).astype(np.float32),
        "w2": (random.normal(size=(64, 6)) / 8).astype(np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["h"], name="first"),
        helper.make_node("Relu", ["h"], ["r"], name="relu"),
        helper.make_node("MatMul", ["r", "w2"], ["steps"], name="second"),
    ]
    ends = [graphs.value("x", "N", 12, 16)], [graphs.value("steps", "N", 12, 6)]
    return graphs.model_of(nodes, *ends, weights).SerializeToString()


def file_of(content: bytes) -> SimpleUploadedFile:
    return SimpleUploadedFile("data.npz", content)


def outputs_of(model: bytes, x: Any) -> list[Any]:
    """Every output of the model for `x`."""
    return ort.InferenceSession(model).run(None, {"x": x})


def evaluation(session: OptimizationSession) -> dict[str, Any]:
    step = session.steps.filter(kind="evaluate").order_by("-pk").first()
    assert step is not None
    return step.result


def page_of(door: Door, session: OptimizationSession) -> str:
    page = Client()
    page.force_login(door.user)
    return page.get(f"{session.get_absolute_url()}report/").content.decode()


def test_a_second_head_that_breaks_is_rejected_by_name_while_the_judged_one_holds(door: Door) -> None:
    model = two_heads(5000.0)
    version = door.model(model, "heads.onnx")
    dataset = door.data(npz(x=X, y=answers(model, X).argmax(1)), SPEC, "data.npz")
    refused = door.verdict(version, dataset, quick(TECHNIQUE))
    assert refused.outcome == Outcome.UNCHANGED
    assert refused.verdict is not None
    assert refused.verdict["binding"] == "max_output_deviation"
    sentence = refused.verdict["misses"][0]["sentence"]
    assert sentence.startswith("The output 'age' deviates from the original's by 0.")
    assert "beyond the limit of 0.25" in sentence
    found = evaluation(refused)
    assert [one["output"] for one in found["other_outputs"]] == ["age"]
    held = {one["constraint"]: one["status"] for one in found["constraints"]}
    assert held["max_metric_drop_points"] == "holds", "the judged head alone would have been delivered"
    report = page_of(door, refused)
    assert 'id="c01-outputs"' in report or "-outputs" in report
    assert "Other outputs deviate at most" in report

    unlimited = quick(TECHNIQUE, constraints=Constraints(max_metric_drop_points=30.0, max_output_deviation=None))
    conflicts = {one["code"] for one in door.preview(version, dataset, unlimited)["conflicts"]}
    assert "outputs_not_limited" in conflicts
    shipped = door.verdict(version, dataset, unlimited)
    assert shipped.outcome == Outcome.IMPROVED
    told = evaluation(shipped)["other_outputs"]
    assert told[0]["deviation"]["low"] > 0.25, "it stands in the report all the same"


@pytest.mark.nightly
def test_a_head_with_labels_of_its_own_is_judged_by_them_and_refused_by_name(door: Door) -> None:
    model = two_heads(5000.0)
    scores, age = outputs_of(model, X)
    data = npz(x=X, y=scores.argmax(1), years=age[:, 0])
    labels = {"age": {"label": "years", "task": "regression", "unit": "a"}}
    version = door.model(model, "heads.onnx")
    dataset = door.data(data, {**SPEC, "output": "scores", "output_labels": labels}, "data.npz")
    limits = Constraints(max_metric_drop_points=30.0, max_output_deviation=None, output_limits={"age": 0.01})

    refused = door.verdict(version, dataset, quick(TECHNIQUE, constraints=limits))

    assert refused.outcome == Outcome.UNCHANGED
    assert refused.verdict is not None
    assert refused.verdict["binding"] == "output_limits"
    assert "ean absolute error of the output 'age' " in refused.verdict["misses"][0]["sentence"]
    found = evaluation(refused)
    assert [(one["output"], one["metrics"][0]["metric"]) for one in found["labelled_outputs"]] == [("age", "mae")]
    assert found["labelled_outputs"][0]["metrics"][0]["original"]["value"] < 1e-5, "its labels are its own answers"
    verdicts = {one["constraint"]: one for one in found["constraints"]}
    assert verdicts["max_metric_drop_points"]["status"] == "holds", "the judged head alone would have been delivered"
    assert (verdicts["output_limits"]["subject"], verdicts["output_limits"]["unit"]) == ("age", "a")
    report = page_of(door, refused)
    assert "output age, by its labels" in report
    assert "Loss of further outputs at most" in report

    loose = Constraints(max_metric_drop_points=30.0, output_limits={"age": 100.0})
    shipped = door.verdict(version, dataset, quick(TECHNIQUE, constraints=loose))
    assert shipped.outcome == Outcome.IMPROVED, "its labels replace the limit on how far it may be from the original's"
    with zipfile.ZipFile(io.BytesIO(door.package(shipped))) as package:
        name = next(one for one in package.namelist() if one.endswith("report.html"))
        assert "output age, by its labels" in package.read(name).decode()


def test_labels_of_further_outputs_that_do_not_fit_are_refused_by_name(door: Door) -> None:
    version = door.model(two_heads(0.0), "heads.onnx")
    data = npz(x=X, y=np.arange(EXAMPLES) % 3, years=np.arange(EXAMPLES, dtype=np.float32))
    own = {"label": "years", "task": "regression"}
    for spec, sentence in (
        ({"age": {**own, "metric": "top1"}}, "metric top1 does not go with task regression"),
        ({"age": {**own, "task": "fidelity"}}, "choose task classification or regression, not fidelity"),
    ):
        body = {"name": "Refused", "spec": json.dumps({**SPEC, "output_labels": spec}), "file": file_of(data)}
        answer = door.post("datasets", body, status=422, multipart=True)
        assert sentence in str(answer), answer
    absent = door.send_data(data, {**SPEC, "output_labels": {"age": {**own, "label": "weight"}}}, "data.npz")
    assert absent.refusal_code == "dataset.labels_missing"
    assert "'weight'" in absent.refusal

    dataset = door.data(data, {**SPEC, "output_labels": {"height": own}}, "data.npz")
    answer = door.preview(version, dataset, quick(TECHNIQUE))
    assert (answer["status_code"], answer["code"]) == (422, "dataset.output_unknown")
    assert (answer["errors"][0]["field"], "height" in answer["detail"]) == ("output_labels", True)
    judged = door.data(data, {**SPEC, "output_labels": {"scores": {**own, "label": "years"}}}, "judged.npz")
    assert "is the judged output" in door.preview(version, judged, quick(TECHNIQUE))["detail"]


def test_limits_on_outputs_conflict_with_missing_labels_and_are_proposed_for_those_that_have_some(door: Door) -> None:
    model = two_heads(0.0)
    version = door.model(model, "heads.onnx")
    data = npz(x=X, y=np.arange(EXAMPLES) % 3, old=np.arange(EXAMPLES) % 2)
    plain = door.data(data, {**SPEC, "output_labels": {"age": {"label": "old", "task": "classification"}}}, "data.npz")
    limited = quick(TECHNIQUE, constraints=Constraints(output_limits={"weight": 1.0}))

    preview = door.preview(version, plain, limited)

    assert preview["contradictory"]
    conflicts = {one["code"]: one for one in preview["conflicts"]}
    assert "limit age instead" in conflicts["output_not_labelled"]["message"]
    assert conflicts["labelled_output_not_limited"]["resolutions"][0]["id"] == "labelled_output_not_limited/age/limit"
    body = {"criteria": limited.model_dump(mode="json"), "version": version.pk, "dataset": plain.pk}
    body["resolutions"] = ["output_not_labelled/weight/remove", "labelled_output_not_limited/age/limit"]
    resolved = door.post("criteria/check", body, status=200)
    assert resolved["criteria"]["constraints"]["output_limits"] == {"age": 1.0}
    unprovable = quick(TECHNIQUE, constraints=Constraints(output_limits={"age": 0.01}), accept_inconclusive=False)
    told = {one["code"]: one for one in door.preview(version, plain, unprovable)["conflicts"]}
    assert told["output_loss_undecidable"]["message"].startswith("Whether top-1 accuracy of age loses more than 0.01")
    assert not {"output_not_labelled", "labelled_output_not_limited"} & {one["code"] for one in resolved["conflicts"]}


@pytest.mark.nightly
def test_what_int8_changes_in_a_healthy_second_head_is_not_rejected(door: Door) -> None:
    model = two_heads(0.0)
    dataset = door.data(npz(x=X, y=answers(model, X).argmax(1)), SPEC, "data.npz")
    shipped = door.verdict(door.model(model, "heads.onnx"), dataset, quick(TECHNIQUE, accept_inconclusive=False))
    assert shipped.outcome == Outcome.IMPROVED
    found = evaluation(shipped)
    assert 0 < found["other_outputs"][0]["deviation"]["high"] < 0.15
    assert "Other outputs" in page_of(door, shipped)


@pytest.mark.nightly
def test_sequences_are_judged_by_their_edit_distance(door: Door) -> None:
    x = np.random.default_rng(5).normal(size=(EXAMPLES, 12, 16)).astype(np.float32)
    version = door.model(sequences(), "steps.onnx")
    usual = {"kind": "npz", "task": "fidelity"}
    criteria = quick(TECHNIQUE, constraints=Constraints(max_metric_drop_points=20.0))
    asked = door.data(npz(x=x), {**usual, "metric": "sequence_agreement"}, "x.npz")
    shipped = door.verdict(version, asked, criteria)
    assert shipped.outcome == Outcome.IMPROVED
    found = evaluation(shipped)["metrics"][0]
    assert (found["metric"], found["original"]["value"]) == ("sequence_agreement", 100)
    assert 0 < found["drop"]["low"] <= found["drop"]["value"] < 10
    assert "Sequence agreement with the original" in page_of(door, shipped)

    ctc = evaluation(door.verdict(version, door.data(npz(x=x), {**usual, "ctc_blank": -1}, "x.npz"), criteria))
    assert ctc["metrics"][0]["metric"] == "sequence_agreement"
    assert ctc["metrics"][0]["drop"]["value"] != found["drop"]["value"], "repeats and blanks are removed"
    tight = Constraints(max_metric_drop_points=0.1)
    refused = door.verdict(version, asked, quick(TECHNIQUE, constraints=tight, accept_inconclusive=False))
    assert refused.outcome == Outcome.UNCHANGED
    assert refused.verdict is not None
    assert "Sequence agreement with the original" in refused.verdict["misses"][0]["sentence"]

    plain = door.data(npz(x=x), usual, "x.npz")
    wanted = quick(
        TECHNIQUE, constraints=Constraints(max_metric_drop_points=30.0, metric_limits={"sequence_agreement": 20.0})
    )
    both = evaluation(door.verdict(version, plain, wanted))
    assert both["metrics"][0]["metric"] == "r2", "the default of an output [N, T, C] stays"
    limited = next(one for one in both["constraints"] if one["constraint"] == "metric_limits")
    assert (limited["subject"], limited["status"]) == ("sequence_agreement", "holds")


def test_a_classifier_is_refused_as_a_sequence_before_anything_runs(door: Door) -> None:
    version = door.model(network((32,), 3), "net.onnx")
    dataset = door.data(npz(x=X), {"kind": "npz", "task": "fidelity", "metric": "sequence_agreement"}, "x.npz")
    answer = door.preview(version, dataset, quick(TECHNIQUE))
    assert (answer["status_code"], answer["code"]) == (422, "evaluation.output_unfit")
    assert "[N, T, C]" in answer["detail"]


@pytest.mark.nightly
def test_a_further_metric_rejects_what_the_primary_one_lets_pass(door: Door) -> None:
    version, dataset = door.model(faint.MODEL, "net.onnx"), door.data(faint.DATA_WITHOUT, faint.SPEC, "data.npz")
    limits = Constraints(max_metric_drop_points=30.0, metric_limits={"macro_f1": 0.2})
    refused = door.verdict(version, dataset, quick(faint.TECHNIQUE, constraints=limits))
    assert refused.outcome == Outcome.UNCHANGED
    assert refused.verdict is not None
    assert refused.verdict["binding"] == "metric_limits"
    assert refused.verdict["misses"][0]["sentence"].startswith("Macro F1 ")
    report = page_of(door, refused)
    assert "Loss of further metrics at most" in report
    assert "macro F1" in report


def test_a_metric_that_cannot_be_measured_is_refused_at_every_door(door: Door) -> None:
    version, dataset = door.model(faint.MODEL, "net.onnx"), door.data(faint.DATA_WITHOUT, faint.SPEC, "data.npz")
    criteria = quick(TECHNIQUE, constraints=Constraints(metric_limits={"top5": 1.0}))
    answer = door.preview(version, dataset, criteria)
    assert answer["contradictory"]
    named = create(user=door.user, team=version.model.team, name="Top five", criteria=criteria)
    page = Client()
    page.force_login(door.user)
    asked = {"version": version.pk, "dataset": dataset.pk, "criteria_set": named.pk}
    html = page.post("/sessions/new/", asked).content.decode()
    assert "The loss of top-5 accuracy is limited, but it cannot be measured" in html
    body = {"criteria": criteria.model_dump(mode="json"), "version": version.pk, "dataset": dataset.pk}
    check = door.post("criteria/check", body, status=200)
    conflict = next(one for one in check["conflicts"] if one["code"] == "metric_not_measured")
    assert "top-1 accuracy or macro F1" in conflict["message"]
    assert conflict["resolutions"][0]["id"] == "metric_not_measured/top5/remove"
    body["resolutions"] = ["metric_not_measured/top5/remove"]
    assert door.post("criteria/check", body, status=200)["criteria"]["constraints"]["metric_limits"] == {}
    assert door.post("sessions/preview", body, status=200)["contradictory"] is False
    assert not OptimizationSession.objects.exists()


def test_the_form_writes_and_shows_the_limits_and_versions_differ_in_them(door: Door) -> None:
    team = door.user.memberships.get().team
    page = Client()
    page.force_login(door.user)
    row = create(user=door.user, team=team, name="Heads", criteria=quick(TECHNIQUE))
    limited = Constraints(metric_limits={"macro_f1": 2.0, "mae": 0.5}, max_output_deviation=0.1)
    assert page.get(f"/criteria/{row.pk}/edit/").status_code == 200
    answer = door.client.post(
        "/api/v1/criteria/",
        {"name": "Both", "team": team.slug, "body": {"constraints": limited.model_dump(mode="json")}},
        format="json",
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "criteria.contradictory")
    limits = Constraints(metric_limits={"macro_f1": 2.0}, max_output_deviation=0.1)
    changed = change(row, user=door.user, criteria=quick(TECHNIQUE, constraints=limits))
    form = page.get(f"/criteria/{changed.pk}/edit/").content.decode()
    assert "macro_f1: 2</textarea>" in form
    shown = page.get(changed.get_absolute_url()).content.decode()
    assert "at most 2.0 points of macro F1" in shown
    assert "macro F1: 2 points" in shown, "what the version changed"
