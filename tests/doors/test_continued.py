"""A session on a sample, the same continued with a larger budget, and another one: no work is done twice."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.db.models import QuerySet

from apps.agents.contracts.criteria import Budget
from apps.agents.contracts.state import Status, StepKind
from apps.optimization import querysets, workers
from apps.optimization.models import OptimizationSession, SessionStep
from lathe.testing.data_sets import npz
from tests.door import API, Door, quick, told
from tests.optimization import crank

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]
TECHNIQUES = ("onnx-float16", "onnx-dynamic-int8")


def found(session: OptimizationSession) -> QuerySet[SessionStep]:
    """The steps that make something or measure it on other examples than those that judge."""
    return session.steps.exclude(identity="").exclude(key__endswith="/judge").filter(status=Status.COMPLETED)


def identities(steps: QuerySet[SessionStep]) -> set[str]:
    return set(steps.values_list("identity", flat=True))


@pytest.mark.timeout(900)
def test_no_step_runs_twice(door: Door, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.LATHE = dataclasses.replace(settings.LATHE, timing_s=1, quiet_wait_s=0)
    monkeypatch.setattr(querysets, "WORKER_SILENCE", timedelta(hours=1))
    workers.report(["cpu"])
    version = door.model(SAMPLES / "fashion_resnet.onnx", "resnet.onnx")
    with np.load(SAMPLES / "fashion_mnist_test.npz") as data:
        some = npz(image=data["image"][:300], y=data["y"][:300])
    dataset = door.data(some, {"kind": "npz", "task": "classification"}, "test.npz")
    small = quick(*TECHNIQUES, budget=Budget(minutes=20.0, candidates=1))

    first = door.verdict(version, dataset, small)
    made = door.post(f"sessions/{first.pk}/continue", {"overrides": {"budget": {"minutes": 30.0, "candidates": 2}}})
    crank.turn_until_quiet(limit=200)
    second = OptimizationSession.objects.get(pk=made["id"])
    assert second.status == Status.COMPLETED, told(second)

    before, new = identities(found(first)), identities(found(second).filter(attempt__gt=0))
    assert len(before) >= 3, "it analysed, made and measured"
    let_go = identities(found(first).exclude(collected_at=None))
    assert before & new <= let_go, "only what the first let go, and a new candidate reads, is made again"
    assert before < identities(found(second)), "everything is in the second as well"
    assert new - before, "the larger budget was used"
    report = door.client.get(f"{API}/sessions/{second.pk}/report/").json()
    assert len(report["taken_over"]) >= len(before - let_go)
    assert report["verdict"]["choice"]["earlier"] == first.steps.filter(key__endswith="/judge").count()

    third = door.verdict(version, dataset, small.model_copy(update={"budget": Budget(minutes=20.0, candidates=2)}))
    counted = third.steps.filter(kind=StepKind.OPTIMIZE, status=Status.COMPLETED)
    assert counted.count() > 0
    known, anew = before | identities(found(second)), identities(counted.filter(attempt__gt=0))
    assert not known & anew, "what was in the store is not made again"
    assert counted.filter(attempt=0).exists(), "and something was taken from there"
    assert third.steps.get(key="analyse").attempt == 1, "another session measures for itself"
