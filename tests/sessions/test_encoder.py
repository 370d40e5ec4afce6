"""A session on MiniLM as a transformers folder: from PyTorch through the export to 8 bits on ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.agents.contracts.dataset_spec import DatasetKind, DatasetSpec
from apps.agents.contracts.formats import Format
from apps.agents.contracts.reports.constraints import Holds
from apps.agents.contracts.reports.dataset import Task
from apps.agents.contracts.state import Outcome
from tests.assets.models import Transformer
from tests.sessions.conftest import RunSession, allowing, profile
from tests.sessions.driver import Finished
from tests.sessions.machine import needs_vnni

# The first run downloads and builds.
pytestmark = [pytest.mark.assets, pytest.mark.slow, pytest.mark.timeout(900)]

SENTIMENT = DatasetSpec(kind=DatasetKind.TEXT, task=Task.CLASSIFICATION)


@pytest.fixture(scope="module")
def sentiment(run_session: RunSession, minilm_classifier: Transformer, snippets: Path) -> Finished:
    criteria = allowing(profile("fastest", candidates=1, minutes=8), "onnx-export", "onnx-graph", "onnx-dynamic-int8")
    return run_session(minilm_classifier.archive, snippets, criteria, SENTIMENT, Format.TRANSFORMERS)


def test_an_encoder_is_exported_quantized_and_within_one_point(sentiment: Finished):
    assert sentiment.verdict.outcome is Outcome.IMPROVED
    assert sentiment.winner.primary.drop.value <= 1.0
    assert sentiment.winner.verdict is not Holds.VIOLATED
    assert sentiment.winner.size_bytes.ratio >= 3.5
    assert sentiment.candidate(sentiment.verdict.candidate or "").technique == "onnx-dynamic-int8"


@needs_vnni
def test_the_exported_encoder_is_at_least_1_8_times_faster_than_eager_float(sentiment: Finished):
    assert sentiment.winner.latency.speedup.value >= 1.8


def test_the_plan_says_which_runtime_to_deploy_on(sentiment: Finished):
    assert "ONNX Runtime" in sentiment.plan.summary
    assert "PyTorch" in sentiment.plan.summary
