"""How much a session can say from few examples, and without labels."""

from __future__ import annotations

import pytest

from apps.agents.contracts.criteria import Objective
from apps.agents.contracts.dataset_spec import DatasetKind, DatasetSpec, Metric
from apps.agents.contracts.reports.constraints import Holds
from apps.agents.contracts.reports.dataset import Task
from apps.agents.contracts.state import CandidateStatus, Outcome
from tests.assets.models import Asset
from tests.sessions.conftest import BRIEF_TIMING_S, SAMPLES, FirstImages, RunSession, profile

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_300_examples_that_prove_nothing_are_not_taken_for_proof(run_session: RunSession, images: FirstImages) -> None:
    """Whoever accepts only what is proven keeps the original, and reads how many examples it would take."""
    criteria = profile("smallest", candidates=1).model_copy(
        update={"allowed_techniques": ("onnx-static-int8",), "accept_inconclusive": False}
    )

    finished = run_session(SAMPLES / "fashion_resnet.onnx", images(300), criteria, timing_s=BRIEF_TIMING_S)

    (report,) = finished.judged.values()
    assert criteria.objective is Objective.SIZE
    drop = report.primary.drop
    assert (drop.high or 0.0) - drop.value > 1.0
    assert finished.verdict.outcome is Outcome.UNCHANGED
    assert finished.verdict.binding == "max_metric_drop_points"
    (verdict,) = (one for one in report.constraints if one.constraint == "max_metric_drop_points")
    assert verdict.status is Holds.INCONCLUSIVE
    assert "more examples" in (verdict.to_decide or "")
    assert "more examples" in finished.verdict.misses[0].sentence


@pytest.mark.assets
def test_a_speech_embedding_without_labels_is_held_against_its_own_outputs(
    run_session: RunSession, openwakeword: Asset
) -> None:
    spec = DatasetSpec(kind=DatasetKind.NPZ, task=Task.FIDELITY, metric=Metric.COSINE)

    finished = run_session(openwakeword.model, openwakeword.data, profile("fastest", candidates=4), spec)

    for key, report in finished.evaluations.items():
        assert report.primary.metric == "cosine"
        assert report.primary.original.value == pytest.approx(100)
        candidate = finished.candidate(key)
        if candidate.status in (CandidateStatus.ACCEPTED, CandidateStatus.SELECTED):
            assert report.primary.drop.value <= 1.0
            assert (report.latency.speedup.low or 0) > 1.0
    if finished.verdict.outcome is Outcome.UNCHANGED:
        assert finished.verdict.misses
        assert finished.verdict.binding is not None
    else:
        assert finished.winner.size_bytes.ratio > 1.0
