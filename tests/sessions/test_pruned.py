"""A session on the residual sample whose planner finds by itself that pruning and int8 together win most."""

from __future__ import annotations

import pytest

from apps.agents.contracts.state import CandidateStatus, Outcome
from tests.sessions.conftest import SAMPLES, FirstImages, RunSession, profile
from tests.sessions.driver import Finished
from tests.sessions.machine import needs_vnni

pytestmark = [pytest.mark.nightly, pytest.mark.timing, pytest.mark.timeout(1800)]
EVERY_IMAGE = 4000
PAIR = ("onnx-prune", "onnx-static-int8")


@pytest.fixture(scope="module")
def finished(run_session: RunSession, images: FirstImages) -> Finished:
    """ "Fastest", with room for two number types and two candidates that are pruned first."""
    chosen = profile("fastest", candidates=4, minutes=20.0)
    return run_session(SAMPLES / "fashion_resnet.onnx", images(EVERY_IMAGE), chosen)


def _pairs(finished: Finished) -> list[str]:
    """Keys of the candidates that were pruned, quantized and measured."""
    chains = {key: tuple(link.technique for link in finished.candidate(key).steps) for key in finished.evaluations}
    return [key for key, chain in chains.items() if chain[0] == PAIR[0] and chain[-1] == PAIR[1]]


@needs_vnni
def test_pruned_and_quantized_candidates_are_tried_after_the_number_types(finished: Finished) -> None:
    assert finished.verdict.outcome is Outcome.IMPROVED
    assert len(_pairs(finished)) == 2


@needs_vnni
def test_one_of_them_loses_no_more_than_the_limit_as_far_as_these_examples_show(finished: Finished) -> None:
    held = {CandidateStatus.ACCEPTED, CandidateStatus.SELECTED}
    reports = [finished.evaluations[key] for key in _pairs(finished) if finished.candidate(key).status in held]
    assert reports
    assert max(report.size_bytes.ratio for report in reports) >= 8.0


@needs_vnni
def test_the_fastest_of_them_is_more_than_twice_as_fast_as_int8_alone(finished: Finished) -> None:
    assert max(finished.evaluations[key].latency.speedup.value for key in _pairs(finished)) >= 7.5
