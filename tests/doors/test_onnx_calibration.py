"""A session that equalizes a network whose channels are far apart and quantizes it, from the upload to the verdict."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.agents.contracts.criteria import Budget, Constraints, Objective
from apps.agents.contracts.state import Outcome, StepKind
from tests.agents.backends.onnx_calibrated.spreading import spread
from tests.agents.workshop import FASHION
from tests.door import Door, quick, shorter_sensitivity, told

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.slow,
    pytest.mark.nightly,
    pytest.mark.timeout(900),
]
EQUALIZE, STATIC = "onnx-equalize", "onnx-static-int8"


def test_channels_far_apart_are_equalized_and_then_lose_nothing_in_int8(door: Door, tmp_path: Path):
    model = door.model(spread(tmp_path))
    data = door.data(FASHION, {"kind": "npz", "task": "classification"})
    criteria = quick(
        *(EQUALIZE, STATIC),
        objective=Objective.SIZE,
        constraints=Constraints(max_metric_drop_points=1.0),
        required_techniques=(EQUALIZE,),
        budget=Budget(minutes=20.0, candidates=1),
    )
    with shorter_sensitivity(10.0):
        session = door.verdict(model, data, criteria)
    assert session.outcome == Outcome.IMPROVED, told(session)
    (candidate,) = session.candidates.filter(status="selected")
    assert [link["technique"] for link in candidate.steps] == [EQUALIZE, STATIC]
    step = session.steps.get(kind=StepKind.OPTIMIZE, technique=EQUALIZE)
    pairs = step.result["evidence"]["pairs"]
    assert max(one["spread"] for one in pairs) < 0.2 * max(one["spread_before"] for one in pairs)
