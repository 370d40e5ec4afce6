"""What a decomposition told of each layer is shown in the chain and in the report."""

from __future__ import annotations

from typing import Any

import pytest

from apps.optimization import live
from apps.optimization.models import OptimizationSession
from apps.optimization.ranks import MOST_ROWS, beside_ranks, ranks_of
from apps.optimization.rendering import report_html
from apps.optimization.services import report
from tests.optimization import exported

ROW: dict[str, Any] = {
    "name": "<body>",
    "form": "spatial",
    "rank": 48,
    "energy_kept": 0.972,
    "macs_before": 20_000_000,
    "macs_after": 9_500_000,
    "parameters_before": 400_000,
    "ms_before": 0.9,
    "ms_after": 0.4,
    "sensitivity": None,
}
LEFT = {"name": "head", "reason": "too little time saved"}
TOLD = {"ranks": [ROW], "left": [LEFT], "macs_before": 3, "macs_after": 2}


@pytest.mark.django_db
def test_the_chain_and_the_report_show_factors_and_what_was_left(session: OptimizationSession) -> None:
    done = exported.finish(session)
    step = done.steps.get(key="c02/optimize")
    step.result |= {"evidence": TOLD}
    step.save()
    for html in (live.fragments(done, writes=False)["candidates"], report_html(report(done))):
        assert "&lt;body&gt;" in html
        assert "20,000,000 → <strong>9,500,000</strong>" in html
        assert "97 %" in html
        assert "2.25" in html
        assert "head: too little time saved" in html


def test_the_layers_that_save_most_are_shown_in_the_order_of_the_graph() -> None:
    rows = [{**ROW, "name": str(place), "macs_after": 1000 * (place % 7)} for place in range(2 * MOST_ROWS)]
    found = ranks_of({"ranks": rows})
    assert (len(found.layers), found.further) == (MOST_ROWS, MOST_ROWS)
    assert [int(layer.name) for layer in found.layers] == sorted(int(layer.name) for layer in found.layers)


def test_a_layer_that_was_not_timed_has_no_speed() -> None:
    (layer,) = ranks_of({"ranks": [{**ROW, "ms_before": None, "ms_after": None}]}).layers
    assert layer.times_faster is None


@pytest.mark.parametrize("told", [None, 3, "many", [3], [{"name": "a"}], [{**ROW, "rank": "many"}]])
def test_evidence_that_is_not_as_expected_is_left_as_it_is(told: Any) -> None:
    assert not ranks_of({"ranks": told}).layers
    assert beside_ranks({"ranks": told}) == {"ranks": told}
