"""Two versions of a model from their uploads to the verdict of a comparison."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from apps.agents.contracts.state import Outcome, Status
from apps.models.models import DataSet, ModelVersion
from apps.optimization import memory
from apps.optimization.models import OptimizationSession
from lathe.testing.data_sets import npz
from tests.door import API, Door, told
from tests.optimization import crank
from tests.optimization.test_real_sessions import answers, network

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]
EXAMPLES = 2_500
LIMIT = {"constraints": {"max_metric_drop_points": 1.0}, "budget": {"minutes": 1.0, "candidates": 1}}


def labelled(model: bytes) -> bytes:
    """Examples on which `model` is always right."""
    x = np.random.default_rng(5).normal(size=(EXAMPLES, 8)).astype(np.float32)
    return npz(x=x, y=answers(model, x).argmax(1))


def disturbed(model: bytes, noise: float) -> bytes:
    """The model with noise on the weights of its last layer."""
    changed = onnx.load_from_string(model)
    last = next(one for one in changed.graph.initializer if one.name == "w2")
    weights = numpy_helper.to_array(last)
    added = np.random.default_rng(6).normal(size=weights.shape) * noise * weights.std()
    last.CopyFrom(numpy_helper.from_array((weights + added).astype(np.float32), "w2"))
    return changed.SerializeToString()


@pytest.fixture
def good(door: Door) -> ModelVersion:
    return door.model(network((8,), 3), "net.onnx")


@pytest.fixture
def dataset(door: Door) -> DataSet:
    return door.data(labelled(network((8,), 3)), {"kind": "npz", "task": "classification"}, "test.npz")


def compared(
    door: Door, version: ModelVersion, other: ModelVersion, dataset: DataSet, **criteria: Any
) -> OptimizationSession:
    """The comparison of `other` with `version`, at its end."""
    body = {"version": version.pk, "compared": other.pk, "dataset": dataset.pk, "seed": 7}
    made = door.post("sessions/compare", {**body, "criteria": {**LIMIT, **criteria}})
    crank.turn_until_quiet()
    session = OptimizationSession.objects.get(pk=made["id"])
    print(told(session))
    return session


def test_a_bad_version_is_violated_and_the_same_one_is_proven(door: Door, good: ModelVersion, dataset: DataSet) -> None:
    bad = compared(door, good, door.model(disturbed(network((8,), 3), 0.6), "bad.onnx"), dataset)
    same = compared(door, good, good, dataset)

    assert (bad.status, bad.outcome) == (Status.COMPLETED, Outcome.VIOLATED), told(bad)
    assert (same.status, same.outcome) == (Status.COMPLETED, Outcome.PROVEN), told(same)
    assert [step.key for step in same.steps.order_by("pk")] == ["analyse", "c01/judge"]
    report = door.client.get(f"{API}/sessions/{bad.pk}/report/").json()
    limit = report["candidates"][0]["evaluation"]["constraints"][0]
    assert (limit["constraint"], limit["status"]) == ("max_metric_drop_points", "violated")
    assert 1.0 < limit["measured"]["low"] < limit["measured"]["value"] < limit["measured"]["high"]
    assert report["verdict"]["headline"] == {"tone": "bad", "sentence": "1 of 1 limit violated"}
    assert report["candidates"][0]["digest"] == bad.compared.blob_id
    for part in ("recipe", "front", "candidates", "steps", "log", "report"):
        answer = door.client.get(f"{API}/sessions/{same.pk}/{part}/")
        assert answer.status_code == 200, (part, answer.content)
    for session in (bad, same):
        for page in (f"/sessions/{session.pk}/", f"/sessions/{session.pk}/report/", "/sessions/"):
            door.client.force_login(door.user)
            assert door.client.get(page).status_code == 200, page
    for act, body in (("take", {"candidate": "c01"}), ("continue", {"overrides": {"confidence": 0.9}})):
        assert 400 <= door.client.post(f"{API}/sessions/{same.pk}/{act}/", body, format="json").status_code < 500, act
    assert memory.experiences_of(same) == []
    refused = door.post(f"sessions/{same.pk}/promote", {"alias": "production"}, status=409)
    assert refused["code"] == "session.nothing_to_promote"
    again = door.post(f"sessions/{bad.pk}/retry", {})
    assert again["compared"] == bad.compared_id


def test_too_few_examples_leave_it_open(door: Door, good: ModelVersion) -> None:
    x = np.random.default_rng(5).normal(size=(60, 8)).astype(np.float32)
    few = npz(x=x, y=answers(network((8,), 3), x).argmax(1))
    dataset = door.data(few, {"kind": "npz", "task": "classification"}, "few.npz")
    session = compared(door, good, door.model(disturbed(network((8,), 3), 0.02), "new.onnx"), dataset)
    assert session.outcome == Outcome.INCONCLUSIVE, told(session)
    assert "examples" in session.verdict["advice"]


def test_what_cannot_be_compared_is_refused_before_anything_runs(
    door: Door, good: ModelVersion, dataset: DataSet
) -> None:
    body = {"version": good.pk, "compared": good.pk, "dataset": dataset.pk}
    wider = door.model(network((8,), 5), "wider.onnx")
    refused = door.post("sessions/compare", {**body, "compared": wider.pk, "criteria": LIMIT}, status=422)
    assert (refused["code"], refused["errors"][0]["field"]) == ("session.compared_interface_differs", "compared")
    nothing = {"constraints": {"max_metric_drop_points": None}}
    refused = door.post("sessions/compare", {**body, "criteria": nothing}, status=422)
    assert (refused["code"], refused["errors"][0]["field"]) == ("session.nothing_to_prove", "criteria.constraints")
    assert not OptimizationSession.objects.exists()
