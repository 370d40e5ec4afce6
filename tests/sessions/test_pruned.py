"""A session on the residual sample whose planner finds by itself that pruning and int8 together win most."""

from __future__ import annotations

import pytest

from apps.agents.contracts.state import Outcome
from tests.sessions.conftest import SAMPLES, FirstImages, RunSession, profile
from tests.sessions.driver import Finished
from tests.sessions.machine import needs_vnni

pytestmark = [pytest.mark.timing, pytest.mark.timeout(1800)]
EVERY_IMAGE = 4000


@pytest.fixture(scope="module")
def pruned(run_session: RunSession, images: FirstImages) -> Finished:
    """ "Fastest", with room for two number types and two candidates that are pruned first."""
    return run_session(
        SAMPLES / "fashion_resnet.onnx", images(EVERY_IMAGE), profile("fastest", candidates=4, minutes=20.0)
    )


def test_the_winner_is_pruned_and_then_quantized_and_its_loss_is_proven(pruned: Finished) -> None:
    assert pruned.verdict.outcome is Outcome.IMPROVED
    winner = pruned.candidate(pruned.verdict.candidate or "")
    assert [link.technique for link in winner.steps] == ["onnx-prune", "onnx-static-int8"]
    assert pruned.winner.size_bytes.ratio >= 12.0
    assert pruned.winner.primary.drop.value <= 1.0


@needs_vnni
def test_it_is_more_than_twice_as_fast_as_int8_alone(pruned: Finished) -> None:
    assert pruned.winner.latency.speedup.value >= 7.5
