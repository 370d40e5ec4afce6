"""The page of a session's layers, and the same in the API."""

from __future__ import annotations

import csv
import io
import json

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import User
from apps.agents.contracts.reports.model import TensorSpec
from apps.optimization.models import AnalysisReport, SessionStep
from apps.optimization.services.layers import Stored, stored_of
from apps.optimization.side_by_side.layers import LayerCell
from tests.portal import world
from tests.portal.world import World, report_body

pytestmark = pytest.mark.django_db


@pytest.fixture
def everything(team, owner: User) -> World:
    return world.build(team, owner)


@pytest.fixture
def page(client: Client, everything: World, engineer: User) -> str:
    """Of a session whose candidate stores one layer in 8 bits and was told to keep another in float."""
    model = report_body("analysis")["model"]
    weights = (TensorSpec(name="stem.0.weight_quantized", dtype="int8", shape=(16, 1, 3, 3)),)
    candidate = everything.session.candidates.get()
    step = SessionStep.objects.get(key="c01/optimize")
    step.result = {"model": {**model, "weights": [one.model_dump(mode="json") for one in weights]}}
    step.candidate_key, step.technique = candidate.key, candidate.technique
    step.save()
    candidate.steps[-1]["parameters"] = {"keep_float_nodes": ["blocks.0.body.0"]}
    candidate.save()
    client.force_login(engineer)
    return reverse("optimization:session-layer-table", args=[everything.session.pk])


def test_the_report_leads_to_it_and_it_shows_both(client: Client, everything: World, page: str) -> None:
    report = client.get(reverse("optimization:report", args=[everything.session.pk])).content.decode()
    assert f'href="{page}"' in report
    html = client.get(page).content.decode()
    assert 'name="keep" value="stem.0"' in html
    assert "kept in float" in html
    assert "QLinearConv, QuantizeLinear" in html
    graph = reverse("models:version-graph", args=[everything.model.pk, everything.version.number])
    assert f'href="{graph}?node=stem.0"' in html


def test_it_is_sorted_and_is_a_file(client: Client, page: str) -> None:
    file = client.get(page, {"ordering": "-time", "export": "csv"}).content.decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(file)))
    times = [float(row["time_ms"]) for row in rows if row["time_ms"]]
    assert times == sorted(times, reverse=True)
    stem = next(row for row in rows if row["layer"] == "stem.0")
    assert (stem["candidate_precision"], stem["candidate_bytes"]) == ("int8", "144.0")
    assert next(row for row in rows if row["layer"] == "blocks.0.body.0")["asked_in_float"] == "True"


def test_ticked_layers_stay_in_float_in_a_new_plan(client: Client, everything: World, page: str) -> None:
    address = reverse("optimization:session-new")
    answer = client.get(address, {"again": everything.session.pk, "keep": ["stem.0", "relu"]})
    edits = json.loads(answer.context["edits_json"])
    assert edits["kept_layers"] == ["stem.0", "relu"]


def test_a_viewer_has_nothing_to_tick(client: Client, page: str, viewer: User) -> None:
    client.force_login(viewer)
    html = client.get(page).content.decode()
    assert 'name="keep"' not in html
    assert 'id="layers-keep"' not in html


def test_before_the_analysis_it_says_so(client: Client, everything: World, page: str) -> None:
    AnalysisReport.objects.all().delete()
    answer = client.get(page)
    assert answer.status_code == 404
    assert "has not analysed its model" in answer.content.decode()
    api = client.get(f"/api/v1/sessions/{everything.session.pk}/layers/").json()
    assert api["code"] == "session.no_layers"


def test_the_api_has_the_same(client: Client, everything: World, page: str) -> None:
    found = client.get(f"/api/v1/sessions/{everything.session.pk}/layers/").json()
    assert (found["candidate"], found["candidates"]) == ("c01", ["c01"])
    stem = next(line for line in found["lines"] if line["layer"]["name"] == "stem.0")
    assert stem["candidate"] == {"precision": "int8", "bytes": 144.0}
    assert stem["ran"]["operators"] == ["QLinearConv", "QuantizeLinear"]
    assert stem["ran"]["time_share"] == pytest.approx(0.5)
    unknown = client.get(f"/api/v1/sessions/{everything.session.pk}/layers/", {"candidate": "c99"}).json()
    assert unknown["code"] == "session.candidate_unknown"


@pytest.mark.parametrize(
    ("layer", "bytes_"),
    [("body", None), ("body.0", 12.0), ("/body/body.0/Conv", 12.0), ("body.0.1", 4.0), ("bod", None), ("head", 2.0)],
)
def test_a_layer_has_the_tensors_that_are_called_after_it(layer: str, bytes_: float | None) -> None:
    tensors = {
        "body.0.weight": LayerCell(dtype="int8", bytes=10.0),
        "body.0.bias": LayerCell(dtype="float32", bytes=2.0),
        "body.0.1.weight": LayerCell(dtype="int8", bytes=4.0),
        "head": LayerCell(dtype="float32", bytes=2.0),
    }
    found = stored_of(layer, tensors)
    assert (found.bytes if found else None) == bytes_
    assert stored_of("body.0", tensors) == Stored(precision="int8", bytes=12.0)
