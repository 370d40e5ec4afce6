"""What a machine grants to measurements reaches the report, and what they found reaches the list of workers."""

from __future__ import annotations

import dataclasses
import os
import sys
from typing import Any

import pytest

from apps.agents.measuring.scheduling.priority import priority
from apps.optimization import workers
from apps.optimization.models import EvaluationReport
from tests.door import API, Door, quick
from tests.optimization.test_real_sessions import comma_separated

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.mark.skipif(sys.platform != "linux", reason="binds processes to cores")
def test_a_session_is_timed_on_the_workers_own_core_with_the_priority_it_may_have(door: Door, settings: Any) -> None:
    core = max(os.sched_getaffinity(0))
    settings.LATHE = dataclasses.replace(settings.LATHE, cores=(core,), quiet_wait_s=1)
    with priority() as granted:
        pass
    workers.report(["cpu"])
    case = comma_separated()
    version, dataset = door.model(case.model, "net.onnx"), door.data(case.data, case.spec, case.filename)
    session = door.verdict(version, dataset, quick("onnx-dynamic-int8"))
    body = EvaluationReport.objects.get(candidate__session=session).body
    assert body["machine"]["cores"] == 1
    assert body["latency"]["priority"] == granted
    (worker,) = door.client.get(f"{API}/workers/").json()["results"]
    assert (worker["measuring_cores"], worker["priority"]) == ([core], granted)
    assert worker["timing"]["runs"] == body["latency"]["runs"] > 0
    assert worker["health"] in ("good", "busy", "too_busy")
