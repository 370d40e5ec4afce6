"""Sessions on real models of other people, from upload to verdict: what each is known to be hard for."""

from __future__ import annotations

import onnx
import pytest

from apps.agents.contracts.reports.constraints import Holds
from apps.agents.contracts.state import Outcome
from tests.agents.session.keys import PREPARED
from tests.assets.models import Asset
from tests.sessions.conftest import RunSession, profile
from tests.sessions.driver import Finished
from tests.sessions.machine import HAS_VNNI, needs_vnni

# The first run downloads and builds.
pytestmark = [pytest.mark.assets, pytest.mark.slow, pytest.mark.timeout(900)]

STATIC = "onnx-static-int8"


# --- MiniLM: an encoder whose mask is a huge negative number ---------------------------------------------------------


@pytest.fixture(scope="module")
def sentiment(run_session: RunSession, minilm_with_many_examples: Asset) -> Finished:
    """Sentiment with a limit of one point, measured on 2,488 snippets."""
    asset = minilm_with_many_examples
    return run_session(asset.model, asset.data, profile("fastest", candidates=1))


def test_the_encoder_comes_out_smaller_within_one_point(sentiment: Finished) -> None:
    assert sentiment.verdict.outcome is Outcome.IMPROVED
    assert sentiment.winner.primary.drop.value <= 1.0
    assert sentiment.winner.verdict is not Holds.VIOLATED
    assert sentiment.winner.size_bytes.ratio >= 3.5
    assert sentiment.winner.examples >= 1900


@needs_vnni
def test_the_encoder_is_at_least_1_8_times_faster(sentiment: Finished) -> None:
    assert sentiment.winner.latency.speedup.value >= 1.8


def test_what_is_not_proven_is_said_with_what_would_decide(sentiment: Finished) -> None:
    """An encoder in 8 bits changes three predictions in a hundred: even 2,488 examples prove a point only just."""
    if sentiment.winner.verdict is Holds.HOLDS:
        assert sentiment.verdict.inconclusive == ()
        assert "It meets every constraint" in sentiment.verdict.reason
    else:
        assert any("more examples" in sentence for sentence in sentiment.verdict.inconclusive)
        assert "The evidence is inconclusive" in sentiment.verdict.reason


def test_the_variant_that_collapses_is_left_out_for_the_operators_that_break_it(sentiment: Finished) -> None:
    collapsing = next(o for o in sentiment.plan.omitted if o.technique == STATIC and "every operator" in o.title)
    assert "Predicted to lose about" in collapsing.reason
    assert "Add (" in collapsing.reason
    assert "Softmax (" in collapsing.reason
    assert "(measured)" in collapsing.reason
    assert any(collapsing.reason in event.reason for event in sentiment.events)
    others = [candidate for candidate in sentiment.plan.candidates if candidate.technique == STATIC]
    assert others
    assert all(not {"Add", "Softmax"} & set(candidate.parameters["operators"]) for candidate in others)


def test_layers_of_a_transformer_have_the_names_that_the_prepared_graph_gives_them(sentiment: Finished) -> None:
    prepared = onnx.load(sentiment.artifacts[PREPARED])

    assert {layer.name for layer in sentiment.analysis.layers} == {node.name for node in prepared.graph.node}


# --- magika: norms written out in additions and products -------------------------------------------------------------


def test_magika_is_made_faster_without_a_loss_where_the_usual_variant_collapses(
    run_session: RunSession, magika: Asset
) -> None:
    finished = run_session(magika.model, magika.data, profile("fastest", candidates=1))

    assert finished.verdict.outcome is Outcome.IMPROVED
    won = finished.candidate(finished.verdict.candidate or "")
    assert won.technique == STATIC
    assert {"Add", "Mul"} <= set(won.parameters["keep_float_operators"])
    assert abs(finished.winner.primary.drop.value) <= 1.0
    assert finished.winner.verdict is not Holds.VIOLATED
    assert finished.winner.size_bytes.ratio >= 3.5
    everything = next(o for o in finished.plan.omitted if "weights int8; every operator; per channel" in o.title)
    assert "Mul (" in everything.reason
    if HAS_VNNI:
        assert finished.winner.latency.speedup.value >= 1.5
