"""How a candidate was timed, as its page shows it."""

from __future__ import annotations

from typing import Any

import pytest
from django.template.loader import render_to_string

from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.reports.measurements import LatencyComparison
from tests.portal.world import report_body

CLEAN = {
    "runs": 1584,
    "disturbed": 12,
    "processes": 6,
    "priority": "SCHED_FIFO, priority 1",
    "cpu_speedup": {"value": 3.74, "low": 3.57, "high": 3.92},
    "pressure": {"seconds": 2.0, "waiting_share": 0.31, "steal_share": 0.04, "load": 9.8},
    "waited_s": 14.0,
}
BUSY = {"runs": 900, "disturbed": 812, "busy": True, "processes": 3}


def shown(**fields: Any) -> str:
    latency = LatencyComparison.model_validate(report_body("evaluation")["latency"] | fields)
    return " ".join(render_to_string("optimization/_timing.html", {"l": latency}).split())


def test_runs_processes_priority_and_the_cross_check_are_in_one_table() -> None:
    page = shown(**CLEAN)
    told = ["1,584", "12 of 1,584", "fresh processes", "SCHED_FIFO, priority 1", "3.74×", "3.57", "31 %", "4 %", "14 s"]
    assert [words for words in told if words not in page] == []
    assert "too busy" not in page


def test_a_machine_too_busy_is_said_in_words_and_colour() -> None:
    page = shown(**BUSY)
    assert 'badge-bad">too busy' in page
    assert "812 of 900" in page
    assert "the speed-up is not known" in page


@pytest.mark.parametrize(("runs", "said"), [(0, False), (900, True)])
def test_reports_from_before_runs_were_counted_show_no_such_table(runs: int, said: bool) -> None:
    body = report_body("evaluation")
    body["latency"]["runs"] = runs
    context = {
        "e": EvaluationReport.model_validate(body),
        "anchor": "c01",
        "c": {"runtime": "x"},
        "report": {"runtime": "x"},
    }
    assert ("How it was timed" in render_to_string("optimization/_evaluation.html", context)) is said


def test_a_speedup_that_is_not_known_stands_nowhere_as_a_number() -> None:
    body = report_body("evaluation")
    body["latency"] |= BUSY | {"speedup": {"value": 9.87, "low": 0.0, "high": 1e9}}
    context = {
        "e": EvaluationReport.model_validate(body),
        "anchor": "c01",
        "c": {"runtime": "x"},
        "report": {"runtime": "x"},
    }
    page = render_to_string("optimization/_evaluation.html", context)
    assert "9.87" not in page
    assert "not known" in page
