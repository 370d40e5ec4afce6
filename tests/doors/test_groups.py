"""A candidate that loses in one group only: told without a limit, rejected with one, and what is missing named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from django.test import Client

from apps.agents.contracts.criteria import Constraints
from apps.agents.contracts.state import Outcome
from apps.optimization.criteria import create
from apps.optimization.models import OptimizationSession
from lathe.testing.data_sets import npz
from tests.door import Door, quick
from tests.optimization.test_real_sessions import answers, network

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

EXAMPLES = 480
TECHNIQUE = "onnx-static-int8"
FAINT = np.arange(EXAMPLES) % 8 == 0
"""Every eighth example is a thousand times fainter, which the network does not mind and one scale for all does."""
LOUDNESS = np.where(FAINT, 0.001, 1.0)[:, np.newaxis]
X = (np.random.default_rng(4).normal(size=(EXAMPLES, 12)) * LOUDNESS).astype(np.float32)
MODEL = network((12,), 3)
Y = answers(MODEL, X).argmax(1)
SPEC = {"kind": "npz", "task": "classification"}
GROUPED = {**SPEC, "group": "volume"}
DATA_WITHOUT = npz(any=X, y=Y)
DATA = npz(any=X, y=Y, volume=np.where(FAINT, "faint", "loud"))


def evaluation(session: OptimizationSession) -> dict[str, Any]:
    step = session.steps.filter(kind="evaluate").order_by("-pk").first()
    assert step is not None
    return step.result


def test_a_group_that_loses_is_found_without_a_limit_and_rejected_with_one(door: Door) -> None:
    version, dataset = door.model(MODEL, "net.onnx"), door.data(DATA, GROUPED, "data.npz")
    assert dataset.described.groups == {"loud": 420, "faint": 60}
    shipped = door.verdict(version, dataset, quick(TECHNIQUE))
    assert shipped.outcome == Outcome.IMPROVED, "the whole loses less than 30 points"
    found = evaluation(shipped)
    assert [one["group"] for one in found["groups"]] == ["faint", "loud"]
    assert found["groups"][0]["drop"]["value"] > 30 > found["groups"][1]["drop"]["high"]
    finding = next(one for one in found["findings"] if one["kind"] == "group")
    assert finding["subject"] == "faint", "the worst comes first"
    assert "corrected for 2 groups" in finding["sentence"]
    page = Client()
    page.force_login(door.user)
    report = page.get(f"{shipped.get_absolute_url()}report/").content.decode()
    assert 0 < report.index("The group faint loses") < report.index('id="report-evidence"')
    assert 'id="report-groups"' in report
    assert "The group faint loses" in page.get(shipped.get_absolute_url()).content.decode()

    limits = Constraints(max_metric_drop_points=30.0, max_group_drop_points=30.0)
    refused = door.verdict(version, dataset, quick(TECHNIQUE, constraints=limits))
    assert refused.outcome == Outcome.UNCHANGED
    assert refused.verdict is not None
    assert refused.verdict["binding"] == "max_group_drop_points"
    assert "faint does worst" in refused.verdict["misses"][0]["sentence"]
    assert refused.sessions_before == 1
    told = door.client.get(f"/api/v1/sessions/{refused.pk}/report/").json()
    assert told["use"]["number"] == 2
    assert "This is the 2nd session" in page.get(f"{refused.get_absolute_url()}report/").content.decode()


def test_a_limit_on_groups_asks_for_groups_at_every_door(door: Door) -> None:
    version, dataset = door.model(MODEL, "net.onnx"), door.data(DATA_WITHOUT, SPEC, "data.npz")
    criteria = quick(TECHNIQUE, constraints=Constraints(max_group_drop_points=5.0))
    answer = door.preview(version, dataset, criteria)
    told = next(one for one in answer["conflicts"] if one["code"] == "group_limit_unanswerable")
    assert (answer["contradictory"], told["fields"]) == (True, ["constraints.max_group_drop_points"])
    assert "Groups in" in told["message"]
    named = create(user=door.user, team=version.model.team, name="Groups", criteria=criteria)
    page = Client()
    page.force_login(door.user)
    asked = {"version": version.pk, "dataset": dataset.pk, "criteria_set": named.pk}
    html = page.post("/sessions/new/", asked).content.decode()
    assert "has no groups" in html
    assert "has no groups" in page.get("/sessions/new/preview/", asked).content.decode()
    assert not OptimizationSession.objects.exists()


def test_groups_that_the_file_does_not_have_are_refused_by_the_check(door: Door) -> None:
    dataset = door.send_data(DATA_WITHOUT, GROUPED, "data.npz")
    assert (dataset.ready, dataset.refusal_code) == (False, "dataset.groups_missing")
    numbered = npz(any=X, y=Y, volume=np.arange(EXAMPLES))
    assert door.send_data(numbered, GROUPED, "data.npz").refusal_code == "dataset.groups_invalid"
