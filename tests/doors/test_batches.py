"""How examples go into a model and how its outputs are judged, from the bytes of an upload to a verdict."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from apps.agents.contracts.dataset_spec import part_sizes
from apps.agents.contracts.state import Status, StepKind
from apps.optimization.models import OptimizationSession
from lathe.testing.data_sets import npz
from tests.agents import batches
from tests.door import Door, quick

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


def evaluation_of(session: OptimizationSession) -> dict[str, Any]:
    """The body of what was measured last of the only candidate."""
    step = session.steps.filter(kind=StepKind.EVALUATE).order_by("-pk").first()
    assert step is not None
    return step.result


def test_a_model_that_draws_random_numbers_ends_the_session_at_once(door: Door) -> None:
    version = door.model(batches.noisy(), "net.onnx")
    dataset = door.data(npz(x=batches.drawn(60, 16)), {"kind": "npz", "task": "fidelity"}, "data.npz")
    session = door.run(version, dataset)
    assert (session.status, session.error_code) == (Status.FAILED, "model.not_deterministic")
    assert "RandomNormalLike" in session.error
    assert session.steps.count() == 1


def test_accuracy_is_judged_at_the_targets_batch_whatever_else_the_model_gives(door: Door) -> None:
    """Dynamic 8 bits round small examples to nothing beside large ones, and hits are as many as the data make."""
    model, x = batches.with_odd_outputs(), batches.unlike_in_size()
    scores = ort.InferenceSession(model).run(["logits"], {"x": x})[0]
    spec = {"kind": "npz", "task": "classification", "output": "logits"}
    dataset = door.data(npz(x=x, y=scores.argmax(1)), spec, "data.npz")
    session = door.verdict(door.model(model, "net.onnx"), dataset, quick("onnx-dynamic-int8"))
    report = evaluation_of(session)
    assert report["metrics"][0]["original"]["value"] == 100
    assert report["metrics"][0]["drop"]["value"] < 10
    notes = " ".join(report["notes"])
    assert "Judged at the target's batch size of 1" in notes
    for name in ("anchors", "loss", "hits"):
        assert f"Output '{name}' lacks comparable entries per example" in notes


@pytest.mark.nightly
def test_a_recurrent_model_gets_its_state_its_rate_and_its_examples_where_it_has_them(door: Door) -> None:
    """No name tells where the examples stand: running it does. All that was found is in the recipe."""
    inputs = {
        "h0": {"constant": 0, "batch_axis": 1},
        "c0": {"array": "first", "batch_axis": 1},
        "rate": {"constant": 16000},
    }
    spec = {"kind": "npz", "task": "fidelity", "inputs": inputs}
    x, first = batches.drawn(80, 5, 8, size=1.0), batches.drawn(1, 16, seed=7)
    version = door.model(batches.carrying_a_state(), "net.onnx")
    dataset = door.data(npz(x=x, first=first), spec, "data.npz")
    assert door.preview(version, dataset)["status_code"] == 200
    session = door.verdict(version, dataset, quick("onnx-dynamic-int8"))
    assert session.analysis.body["batch_axes"] == {"x": 1}
    report = evaluation_of(session)
    assert report["examples"] == getattr(part_sizes(80), report["part"])
    assert (report["metrics"][0]["metric"], report["metrics"][0]["drop"]["value"] < 5) == ("r2", True)
    assert not any("entry for each example" in note for note in report["notes"])
    with zipfile.ZipFile(io.BytesIO(door.package(session))) as package:
        recipe = json.loads(package.read("recipe.json"))
    assert recipe["dataset"]["spec"]["inputs"]["x"]["batch_axis"] == 1
    assert np.isclose(recipe["dataset"]["spec"]["inputs"]["rate"]["constant"], 16000)
