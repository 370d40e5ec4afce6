"""Another point of the front of a real session, taken over the API: judged, packed, and run from its package."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

from apps.agents.contracts.criteria import Budget, Constraints
from lathe.testing.data_sets import npz
from tests.door import API, Door, quick, shorter_sensitivity, told
from tests.optimization import crank

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.nightly
def test_a_member_takes_another_point_of_a_sample_model(door: Door) -> None:
    version = door.model(SAMPLES / "fashion_resnet.onnx", "resnet.onnx")
    with np.load(SAMPLES / "fashion_mnist_test.npz") as data:
        some = npz(image=data["image"][:600], y=data["y"][:600])
    dataset = door.data(some, {"kind": "npz", "task": "classification"}, "test.npz")
    # Two choices of number types are measured, whatever the first one shows.
    limits = Constraints(max_metric_drop_points=8.0)
    criteria = quick("onnx-static-int8", budget=Budget(minutes=5.0, candidates=2), constraints=limits)
    with shorter_sensitivity(5.0):
        done = door.verdict(version, dataset, criteria)
    path = f"{API}/sessions/{done.pk}"
    first = door.client.get(f"{path}/report/").json()
    chosen = first["verdict"]["candidate"]
    others = [one["key"] for one in first["candidates"] if one["status"] == "accepted"]
    assert chosen, told(done)
    assert others, told(done)
    front = door.client.get(f"{path}/front/").json()
    assert {point["key"] for point in front["points"]} >= {"original", chosen, *others}
    assert chosen in front["keys"]

    door.post(f"sessions/{done.pk}/take", {"candidate": others[0]}, status=202)
    crank.turn_until_quiet(limit=100)
    report = door.client.get(f"{path}/report/").json()
    assert report["verdict"]["candidate"] == others[0], told(done)
    assert report["verdict"]["taken"]["instead"] == chosen
    assert report["verdict"]["choice"]["sharing"] == len(first["verdict"]["choice"]["finalists"]) + 1
    (request,) = report["requests"]
    assert request["result"] == "delivered"

    done.refresh_from_db()
    with ZipFile(BytesIO(door.package(done))) as package:
        packed = json.loads(package.read("report.json"))
        recipe = json.loads(package.read("recipe.json"))
    assert packed["verdict"]["candidate"] == others[0]
    taken = next(one for one in report["candidates"] if one["key"] == others[0])
    assert recipe["artifact"]["sha256"] == taken["digest"]
    earlier = door.client.get(f"{path}/report/?decision=0").json()
    assert earlier["verdict"] == first["verdict"]
    print({"front": front["keys"], "chosen": chosen, "taken": others[0], "reason": report["verdict"]["reason"]})
