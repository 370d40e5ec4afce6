"""What a pruning technique told of its cut is drawn in the chain, the report and the package."""

from __future__ import annotations

from typing import Any

import pytest

from apps.agents.techniques.pruning import MOST_LAYERS, channels_by_layer
from apps.optimization import live
from apps.optimization.models import OptimizationSession
from apps.optimization.rendering import report_html
from apps.optimization.services import report
from apps.optimization.widths import MOST_BARS, beside_cut, cut_of
from tests.optimization import exported

CUT: dict[str, Any] = {
    "macs_before": 81_000_000,
    "macs_after": 24_300_000,
    "macs_removed": 0.7,
    "parameters_before": 1_200_000,
    "parameters_after": 400_000,
    "channels_before": None,
    "channels_after": None,
    "channels_by_layer": [["stem", 64, 16], ["body.0", 128, 128], ["<head>", 10, 10]],
    "uncut": [{"name": "<head>", "width": 10, "reason": "reaches an output"}],
    "fitted": [{"name": "stem", "error": 0.1}],
}


@pytest.mark.django_db
def test_the_chain_the_report_and_the_package_show_the_cut(session: OptimizationSession) -> None:
    done = exported.finish(session)
    step = done.steps.get(key="c02/optimize")
    step.result |= {"evidence": CUT}
    step.save()
    for html in (live.fragments(done, writes=False)["candidates"], report_html(report(done))):
        assert "81,000,000 → <strong>24,300,000</strong>" in html
        assert "Weights that are not zero" in html
        assert "(70 % removed)" in html
        assert "64 → <strong>16</strong>" in html
        assert '<rect class="channels-left" width="12.5%" height="100%"/>' in html, "16 of the widest layer's 128"
        assert "&lt;head&gt;: reaches an output" in html
        assert "macs before" not in html
        assert "1, listed in the API" in html


def test_only_the_layers_that_lose_most_are_drawn_in_the_order_of_the_graph() -> None:
    layers = [(f"layer{place}", 512, 512 - place % 100) for place in range(3 * MOST_LAYERS)]
    told = channels_by_layer(layers)
    assert len(told) == MOST_LAYERS
    drawn = cut_of({"channels_by_layer": told})
    assert (len(drawn.layers), drawn.further) == (MOST_BARS, MOST_LAYERS - MOST_BARS)
    places = [int(layer.name.removeprefix("layer")) for layer in drawn.layers]
    assert places == sorted(places)
    assert min(place % 100 for place in places) == 93


@pytest.mark.parametrize("told", [None, 3, "many", [["stem", 1]], {"stem": 3}, {"stem": [1]}, [], [["a", "b", "c"]]])
def test_evidence_that_is_not_as_expected_is_left_as_it_is(told: Any) -> None:
    evidence = {"channels_by_layer": told, "macs_before": "many", "macs_after": 3}
    assert not cut_of(evidence).layers
    assert not cut_of(evidence).work
    assert beside_cut(evidence) == evidence
