"""ONNX from the bytes of an upload to a verdict, and on from what was promoted."""

from __future__ import annotations

import pytest

from apps.agents.state import Outcome
from tests.door import Door, quick
from tests.optimization.test_real_sessions import comma_separated

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


def test_a_session_starts_from_what_another_has_promoted(door: Door) -> None:
    case = comma_separated()
    version, dataset = door.model(case.model, "net.onnx"), door.data(case.data, case.spec, case.filename)
    first = door.verdict(version, dataset, quick("onnx-dynamic-int8"))
    assert first.outcome == Outcome.IMPROVED
    second = door.verdict(door.promoted(first), dataset)
    assert not second.steps.exclude(traceback="").exists()
