"""Growing portions of the examples and a refinement, with real workers, from the upload to the page."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from django.test import Client

from apps.agents.contracts.criteria import Budget, Constraints, Criteria, Objective
from apps.agents.contracts.state import Status, StepKind
from apps.agents.session import halving
from apps.models.models import DataSet, ModelVersion
from apps.optimization import workers
from apps.optimization.models import OptimizationSession, SessionStep
from tests.agents.backends.onnx_pruning.nets import Net, outputs, pictures
from tests.door import Door, quick, shorter_sensitivity, told
from tests.optimization import crank

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.slow,
    pytest.mark.nightly,
    pytest.mark.timeout(900),
]
PRUNE = "onnx-prune"
EXAMPLES = 7000


def network() -> Net:
    net = Net()
    source = "x"
    for place in range(4):
        source = net.add("Relu", f"relu{place}", [net.conv(f"conv{place}", source, 64)])
    net.gemm("head", net.flatten(source), 64 * 64, 10)
    return net


def labelled(net: Net) -> bytes:
    """Pictures, each with the class that the network itself says, so that every change of an answer is a loss."""
    images = pictures(EXAMPLES)
    scores = outputs(net.model("head.y", rank=2), images)
    stream = io.BytesIO()
    np.savez(stream, x=images, y=scores.argmax(1).astype(np.int64))
    return stream.getvalue()


def test_portions_and_a_refinement_are_used_and_the_page_says_so(door: Door, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(halving, "SAVES_FROM_S", 0.0)
    net = network()
    model = door.model(net.model("head.y", rank=2).SerializeToString(), "net.onnx")
    data = door.data(labelled(net), {"kind": "npz", "task": "classification"}, "x.npz")
    criteria = quick(
        PRUNE,
        objective=Objective.LATENCY,
        constraints=Constraints(max_metric_drop_points=12.0),
        budget=Budget(minutes=20.0, candidates=8),
    )
    session, ranked = _ranked(door, model, data, criteria)
    assert all(step.parameters["in_portions"] and step.result["looks"] for step in ranked)
    dropped = [step for step in ranked if step.result["examples"] < step.result["examples_of_part"]]
    assert dropped, "one was ruled out before all examples were used"
    refined = session.steps.filter(kind=StepKind.REFINE).first()
    assert refined is not None, told(session)
    assert refined.result["proposals"]
    assert session.candidates.filter(key__contains="v").exists(), "its proposals became candidates"

    page = _page(door, session.get_absolute_url())
    assert "on growing portions of the validation examples" in page
    assert re.search(rf"{dropped[0].candidate_key} was dropped after [\d,]+ of [\d,]+ validation examples", page)
    assert "Proposes further candidates like" in page
    assert "with parameters between those that were measured" in page


def numbered(net: Net) -> bytes:
    """Pictures, each with the ten numbers that the network itself says, give or take a little."""
    images = pictures(EXAMPLES)
    numbers = outputs(net.model("head.y", rank=2), images)
    noise = np.random.default_rng(4).normal(scale=0.05 * numbers.std(), size=numbers.shape)
    stream = io.BytesIO()
    np.savez(stream, x=images, y=(numbers + noise).astype(np.float32))
    return stream.getvalue()


def test_a_regression_is_ranked_in_portions_as_well(door: Door, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(halving, "SAVES_FROM_S", 0.0)
    net = network()
    model = door.model(net.model("head.y", rank=2).SerializeToString(), "net.onnx")
    data = door.data(numbered(net), {"kind": "npz", "task": "regression"}, "x.npz")
    criteria = quick(
        PRUNE,
        objective=Objective.LATENCY,
        constraints=Constraints(max_metric_drop_points=1.0, default_rise=0.02),
        budget=Budget(minutes=20.0, candidates=3),
    )
    session, ranked = _ranked(door, model, data, criteria)
    dropped = [step for step in ranked if step.result["examples"] < step.result["examples_of_part"]]
    assert dropped, "pruning costs far more than two per cent of an error as small as this"
    for step in dropped:
        primary = step.result["metrics"][0]
        assert (primary["metric"], primary["test"]) == ("mae", "paired_t")
        assert step.result["verdict"] == "violated"
    page = _page(door, session.get_absolute_url())
    assert re.search(rf"{dropped[0].candidate_key} was dropped after [\d,]+ of [\d,]+ validation examples", page)


def _ranked(
    door: Door, model: ModelVersion, data: DataSet, criteria: Criteria
) -> tuple[OptimizationSession, list[SessionStep]]:
    """A session that has come to its end, and the steps that ranked its candidates."""
    with shorter_sensitivity(1.0):
        session = door.start(model, data, criteria)
        _work()
    session.refresh_from_db()
    assert session.status == Status.COMPLETED, told(session)
    ranked = [step for step in session.steps.filter(kind=StepKind.EVALUATE) if step.parameters["part"] == "choosing"]
    assert ranked, told(session)
    return session, ranked


def _work() -> None:
    """Turns the pipeline until it is quiet, as a worker that says what it has installed while it lives."""
    for _ in range(200):
        workers.report(["cpu", "default"])
        if not crank.turn():
            return
    raise AssertionError("the pipeline does not come to rest")


def _page(door: Door, address: str) -> str:
    client = Client()
    client.force_login(door.user)
    return " ".join(client.get(address).content.decode().split())
