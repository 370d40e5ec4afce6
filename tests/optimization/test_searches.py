"""Trials of an architecture search: drawn while they are made, and in the chain and the report afterwards."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from apps.agents.contracts.state import Status
from apps.optimization import live
from apps.optimization.models import OptimizationSession
from apps.optimization.rendering import report_html
from apps.optimization.searches import beside_search, beside_trials, search_of, trials_of_curves
from apps.optimization.services import report
from tests.optimization import exported

CURVES: dict[str, list[tuple[int, float]]] = {
    "trial loss": [(1, 0.9), (2, 0.5), (3, 0.7), (4, 0.4)],
    "trial latency ms": [(1, 0.1), (2, 0.3), (3, 0.4), (4, 0.6)],
    "trial parameters": [(1, 900.0), (2, 3000.0), (3, 3100.0)],
    "supernet held-out loss": [(0, 3.0), (10, 1.0)],
}
_FINAL = {"trial": 2, "chosen": False, "shared_loss": 0.5, "alone_loss": 0.3}


def _trial(number: int, width: int, loss: float, latency_ms: float, parameters: int) -> dict[str, Any]:
    told = {"number": number, "loss": loss, "latency_ms": latency_ms, "parameters": parameters, "accuracy": 80.0}
    return {**told, "macs": 1000 * parameters, "network": [f"width:<stem>={width}"]}


TOLD: dict[str, Any] = {
    "sampler": "nsga2",
    "sub_networks": 4096,
    "trials": [_trial(1, 8, 0.9, 0.1, 900), _trial(2, 16, 0.5, 0.3, 3000), _trial(3, 24, 0.7, 0.4, 3100)],
    "trials_made": 96,
    "limit_ms": 0.35,
    "original_ms": 1.25,
    "found_ms": 0.3,
    "finalists": [
        {**_FINAL, "chosen": True, "shared_accuracy": 82.5, "alone_accuracy": 91.25},
        {**_FINAL, "trial": 1, "shared_accuracy": None, "alone_accuracy": None},
    ],
    "rank_correlation": 0.5,
    "table": {
        "operators": 174,
        "sub_networks": 24,
        "within_ten_percent": 0.96,
        "median_error": 0.03,
        "largest_error": 0.12,
        "pairs_ms": [[0.3, 0.31]],
    },
}


@pytest.mark.django_db
def test_the_chain_and_the_report_show_trials_finalists_and_the_tables_error(session: OptimizationSession) -> None:
    done = exported.finish(session)
    step = done.steps.get(key="c02/optimize")
    step.result |= {"evidence": {"search": TOLD, "held_out_accuracy": 91.0}}
    step.save()
    for html in (live.fragments(done, writes=False)["candidates"], report_html(report(done))):
        assert "Trial 2: 0.3 ms, loss 0.5, 3,000 parameters. On the front. width:&lt;stem&gt;=16" in html
        assert '<td class="num">80.0 %</td><td class="num">3,000</td><td class="num">3.00 M</td>' in html
        assert "Trial 3: 0.4 ms, loss 0.7, 3,100 parameters. Beaten." in html
        assert "96 of 4,096 sub-networks were tried" in html
        assert "rank correlation of the two losses 0.500" in html
        assert "Of 24 other sub-networks that were timed, 96 % take what the table predicts to within 10 %" in html
        assert "held out accuracy" in html.lower()


@pytest.mark.django_db
def test_trials_appear_while_they_are_made_and_are_no_lines(session: OptimizationSession) -> None:
    step = exported.finish(session).steps.get(key="c02/optimize")
    step.status, step.curves = Status.RUNNING, CURVES
    step.save()
    html = live.fragments(session, writes=False)["curves"]
    assert html.count("front-point") == 3
    assert "Trial 2: 0.3 ms" in html
    assert "supernet held-out loss" in html
    assert "The trial loss goes from" not in html


def test_only_trials_that_are_told_whole_are_drawn() -> None:
    trials = trials_of_curves(CURVES)
    assert [one.number for one in trials.points] == [3, 1, 2]  # The front last, so it lies above.
    assert len(trials.line) == 1
    fast, good = (next(one for one in trials.points if one.number == number) for number in (1, 2))
    assert fast.x < good.x
    assert good.y < fast.y
    assert set(beside_trials(CURVES)) == {"supernet held-out loss"}
    assert not trials_of_curves({}).points


def test_the_limit_on_latency_is_in_the_picture() -> None:
    found = search_of({"search": TOLD})
    assert found is not None
    assert found.trials.limit is not None
    assert found.trials.points[-1].x < found.trials.limit
    assert [(point.number, card.get("macs")) for point, card in found.best] == [(1, 900_000), (2, 3_000_000)]
    assert beside_search({"search": TOLD, "other": 1}) == {"other": 1}


@pytest.mark.django_db
def test_a_table_that_nothing_could_check_says_so(session: OptimizationSession) -> None:
    done = exported.finish(session)
    step = done.steps.get(key="c02/optimize")
    unchecked = {"sub_networks": 0, "within_ten_percent": 0.0, "median_error": None, "largest_error": None}
    step.result |= {"evidence": {"search": {**TOLD, "table": {**TOLD["table"], **unchecked}}}}
    step.save()
    html = report_html(report(done))
    assert "174 operators were timed. There are so few sub-networks that none was left to check the table." in html
    assert "Of 0 other" not in html


@pytest.mark.parametrize(
    "change", [{"trials": []}, {"trials": [3]}, {"table": None}, {"limit_ms": "soon"}, {"finalists": [{"trial": 1}]}]
)
def test_evidence_that_is_not_as_expected_is_left_as_it_is(change: dict[str, Any]) -> None:
    told = {**deepcopy(TOLD), **change}
    assert search_of({"search": told}) is None
    assert beside_search({"search": told}) == {"search": told}
    assert search_of({}) is None
