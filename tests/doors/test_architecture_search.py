"""A PyTorch program from its upload to a verdict on a network that was searched for in it."""

from __future__ import annotations

import io
from pathlib import Path
from zipfile import ZipFile

import pytest

from apps.agents.contracts.criteria import Budget
from apps.agents.contracts.state import Status
from apps.optimization.models import OptimizationSession
from tests.door import API, Door, quick, told
from tests.doors.test_torch_training import data, trained
from tests.optimization import crank

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow, pytest.mark.nightly]

SEARCH = {"steps": 20, "final_steps": 20, "trials": 8, "batch": 4, "latency_left": 0.7, "round_to": 8, "threads": 1}


@pytest.mark.timeout(1200)
def test_a_network_is_searched_for_judged_and_packed_with_its_recipe(door: Door, tmp_path: Path) -> None:
    version = door.model(trained(tmp_path / "model.pt2"))
    spec = {"kind": "npz", "task": "classification", "label": "y", "training_share": 0.4}
    dataset = door.data(data(), spec, "data.npz")
    criteria = quick("torch-search", budget=Budget(minutes=10.0, candidates=1)).model_dump(mode="json")
    question = {"version": version.pk, "dataset": dataset.pk, "criteria": criteria, "seed": 7, "start_anyway": True}
    added = [{"technique": "torch-search", "parameters": SEARCH}]
    made = door.post("sessions", {**question, "edits": {"added": [added]}})
    crank.turn_until_quiet(limit=200)

    session = OptimizationSession.objects.get(pk=made["id"])
    assert session.status == Status.COMPLETED, told(session)
    step = session.steps.get(kind="optimize", technique="torch-search")
    evidence = step.result["evidence"]
    assert evidence["macs_after"] < evidence["macs_before"], told(session)
    assert len(step.curves["trial loss"]) == evidence["search"]["trials_made"] == 8
    assert session.steps.filter(kind="evaluate", status=Status.COMPLETED).exists()
    page = door.client.get(f"{API}/sessions/{session.pk}/report/").content.decode()
    assert "within_ten_percent" in page
    recipe = door.client.get(f"{API}/sessions/{session.pk}/recipe/", {"step": step.key}).json()
    assert recipe["steps"][-1]["parameters"]["network"] == step.result["parameters"]["network"]
    with ZipFile(io.BytesIO(door.package(session))) as package:
        assert any(name.endswith(".pt2") for name in package.namelist())
