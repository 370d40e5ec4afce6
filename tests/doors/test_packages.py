"""What a session hands over runs in a bare folder and checks itself; what cannot be tried is handed over as well."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from django.test import Client
from onnx import TensorProto, helper

from apps.agents.contracts.criteria import Constraints
from apps.agents.contracts.state import Outcome, StepKind
from apps.optimization import jobs, services
from apps.optimization.models import OptimizationSession
from lathe.testing.data_sets import npz
from lathe_client import verify
from tests.agents import graphs
from tests.clients.test_verify import keys
from tests.door import Door, quick

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

FIDELITY = {"kind": "npz", "task": "fidelity"}


def recommender() -> bytes:
    """Indices below 50 in rows of 12, though the exporter named every axis free."""
    random = graphs.rng()
    weights = {
        "table": random.normal(size=(50, 64)).astype(np.float32),
        "w": (random.normal(size=(768, 8)) / 28).astype(np.float32),
        "shape": np.array([0, 768], np.int64),
    }
    nodes = [
        helper.make_node("Gather", ["table", "items"], ["rows"], name="gather"),
        helper.make_node("Reshape", ["rows", "shape"], ["flat"], name="reshape"),
        helper.make_node("MatMul", ["flat", "w"], ["scores"], name="product"),
    ]
    items = helper.make_tensor_value_info("items", TensorProto.INT64, ["batch", "length"])
    return graphs.model_of(nodes, [items], [graphs.value("scores", "batch", 8)], weights).SerializeToString()


def bought() -> bytes:
    return npz(items=graphs.rng().integers(1, 50, size=(120, 12)))


def run(package: bytes, folder: Path) -> str:
    """What the script of a package says in a folder where nothing else is, and nothing of Lathe on its path."""
    with zipfile.ZipFile(io.BytesIO(package)) as archive:
        archive.extractall(folder)
    command = [sys.executable, "-I", "run.py", "--bench"]
    path = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=path)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def finding(session: OptimizationSession) -> str | None:
    return services.report(session).package_finding


README = "# Use\n\n**Not** for [strangers](javascript:alert(1)).\n"


@pytest.fixture
def key(tmp_path: Path, settings: Any) -> Path:
    """The public half of the key with which the workers sign."""
    pair = keys(tmp_path / "keys")
    settings.LATHE = dataclasses.replace(settings.LATHE, signing_key=pair.private)
    return pair.public


def test_an_optimized_model_of_indices_checks_itself_on_inputs_that_are_nobodys(
    door: Door, tmp_path: Path, key: Path
) -> None:
    version = door.model(recommender(), "net.onnx")
    described = door.client.patch(
        f"/api/v1/models/{version.model_id}/", {"readme": README}, content_type="application/json"
    )
    assert described.json()["readme"] == README.strip()
    address = f"/api/v1/models/{version.model_id}/card/"
    door.client.patch(address, {"intended_use": "Next purchases."}, content_type="application/json")
    dataset = door.data(bought(), {**FIDELITY, "examples_may_leave": False}, "bought.npz")
    session = door.verdict(version, dataset, quick("onnx-dynamic-int8"))
    assert (session.outcome, finding(session)) == (Outcome.IMPROVED, None)
    said = run(door.package(session), tmp_path)
    assert said.startswith("scores  float32  (4, 8)")
    assert "The same outputs as were measured" in said
    assert "p50 " in said
    carried = np.load(tmp_path / "examples.npz")["items"]
    assert 1 <= carried.min() <= carried.max() < 50
    assert "drawn from the ranges" in (tmp_path / "README.txt").read_text()
    package = tmp_path / "package.zip"
    package.write_bytes(door.package(session))
    assert verify(package, key).checked
    shows_its_card(door, session, tmp_path)
    door.client.patch(address, {"intended_use": "Anything."}, content_type="application/json")
    assert "Anything." in door.client.get(f"/api/v1/sessions/{session.pk}/card/").content.decode()
    (tmp_path / "again").mkdir()
    run(door.package(session), tmp_path / "again")
    assert "## Intended use\n\nNext purchases." in (tmp_path / "again" / "MODEL_CARD.md").read_text()


def shows_its_card(door: Door, session: OptimizationSession, package: Path) -> None:
    """The card in the unpacked package is that of the API and the page, and the evidence says the same in CycloneDX."""
    card = (package / "MODEL_CARD.md").read_text()
    assert "### Use\n\n**Not** for" in card
    assert "## Intended use\n\nNext purchases." in card
    assert "Median latency" in card
    assert "(`onnx-dynamic-int8`)" in card
    assert f"SHA-256 `{session.version.blob_id}`" in card
    assert door.client.get(f"/api/v1/sessions/{session.pk}/card/").content.decode() == card
    browser = Client()
    browser.force_login(door.user)
    page = browser.get(f"/sessions/{session.pk}/report/").content.decode()
    assert "<h3>Model card: " in page
    assert 'href="javascript:' not in page
    assert browser.get(f"/sessions/{session.pk}/card/").content.decode() == card
    evidence = (package / "evidence.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(evidence) is None
    analysis = json.loads(evidence)["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]
    changes = {one["type"]: one for one in analysis["performanceMetrics"] if one["slice"] == "change"}
    measured = services.report(session).winner.evaluation.latency.speedup  # type: ignore[union-attr]
    assert changes["latency_p50 [×]"]["value"] == repr(measured.value)
    assert changes["latency_p50 [×]"]["confidenceInterval"]["lowerBound"] == repr(measured.low)


@pytest.mark.nightly
def test_a_package_whose_trial_takes_the_step_down_is_handed_over_with_the_finding(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the original, as that is asked to be a hundred times faster; and it says so itself."""
    monkeypatch.setitem(jobs.HANDLERS, StepKind.PACKAGE, "tests.optimization.handlers:package_that_dies_when_tried")
    version, dataset = door.model(recommender(), "net.onnx"), door.data(bought(), FIDELITY, "bought.npz")
    limits = Constraints(max_metric_drop_points=30.0, min_speedup=100.0)
    session = door.verdict(version, dataset, quick("onnx-float16", constraints=limits))
    assert session.outcome == Outcome.NOT_MEASURED
    assert "SIGKILL" in (finding(session) or "")
    assert any("was not proven to run" in line.message for line in session.log.all())
    with zipfile.ZipFile(io.BytesIO(door.package(session))) as archive:
        readme = archive.read("README.txt").decode()
    assert readme.startswith("The original model. No candidate was measured")
    assert "Not measured: no candidate was tried." in readme
    assert "SIGKILL" in readme
    told = door.client.get(f"/api/v1/sessions/{session.pk}/report/").json()
    assert "SIGKILL" in told["package_finding"]


def scorer() -> bytes:
    """A TensorFlow Lite model, `[batch, 64]` to `[batch, 64]`, written without TensorFlow."""

    def tensor(name: str, shape: list[int], buffer: int, signature: list[int] | None = None) -> schema.TensorT:
        made = schema.TensorT()
        made.name, made.shape, made.shapeSignature, made.buffer = name, shape, signature, buffer
        made.type = schema.TensorType.FLOAT32
        return made

    code, product, graph, model = schema.OperatorCodeT(), schema.OperatorT(), schema.SubGraphT(), schema.ModelT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.FULLY_CONNECTED
    product.opcodeIndex, product.inputs, product.outputs = 0, [0, 1, -1], [2]
    product.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
    product.builtinOptions = schema.FullyConnectedOptionsT()
    graph.tensors = [
        tensor("features", [1, 64], 0, [-1, 64]),
        tensor("weights", [64, 64], 1),
        tensor("scores", [1, 64], 0, [-1, 64]),
    ]
    graph.inputs, graph.outputs, graph.operators, graph.name = [0], [2], [product], "main"
    weights = schema.BufferT()
    weights.data = np.frombuffer((graphs.rng().normal(size=(64, 64)) / 8).astype(np.float32).tobytes(), np.uint8)
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    model.buffers, model.description = [schema.BufferT(), weights], "tests"
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.mark.nightly
def test_the_package_of_a_tensorflow_lite_model_checks_itself_on_the_members_own(door: Door, tmp_path: Path) -> None:
    features = graphs.rng().normal(size=(60, 64)).astype(np.float32)
    version, dataset = door.model(scorer(), "net.tflite"), door.data(npz(features=features), FIDELITY, "data.npz")
    session = door.verdict(version, dataset, quick("litert-dynamic"))
    assert finding(session) is None
    assert "The same outputs as were measured" in run(door.package(session), tmp_path)
    carried = np.load(tmp_path / "examples.npz")["features"]
    assert all((row == features).all(1).any() for row in carried)
    assert (tmp_path / "requirements.txt").read_text().startswith("numpy==")
