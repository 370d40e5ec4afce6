"""Keras and SavedModel from the bytes of an upload to a verdict, and on from the LiteRT that was promoted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from apps.agents.contracts.criteria import Budget, Constraints, CountedSize, Criteria
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.state import Outcome, Status
from tests.door import Door, quick, shorter_sensitivity, told

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
SPEC: dict[str, Any] = {"kind": "npz", "task": "classification"}


@pytest.fixture(scope="module")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uploads")
    command = [sys.executable, "-m", "tests.doors.tensorflow_uploads", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=600)
    return folder


def narrowed(*techniques: str) -> Criteria:
    """Minutes that suffice for the start of TensorFlow in each step."""
    return quick(*techniques, budget=Budget(minutes=4.0, candidates=1))


@pytest.mark.nightly
def test_a_masked_lstm_of_keras_becomes_litert_that_has_a_session_of_its_own(door: Door, uploads: Path) -> None:
    dataset, promoted = door.data(uploads / "masked.npz", SPEC), []
    for name in ("masked.keras", "masked.h5"):
        first = door.verdict(door.model(uploads / name), dataset, narrowed("litert-export", "litert-float16"))
        assert first.outcome == Outcome.IMPROVED
        promoted.append(door.promoted(first))
        assert promoted[-1].metadata.format == "tflite"
    assert promoted[0].blob == promoted[1].blob  # So a session of one speaks for both.
    second = door.verdict(promoted[0], dataset, narrowed("litert-weight-only"))
    assert not second.steps.exclude(traceback="").exists()


@pytest.mark.nightly
def test_the_signature_of_a_saved_model_stays_with_the_saved_model(door: Door, uploads: Path) -> None:
    version = door.chosen(door.model(uploads / "two.zip"), "chosen")
    dataset = door.data(uploads / "two.npz", SPEC)
    session = door.verdict(version, dataset, narrowed("litert-export", "litert-float16"))
    assert session.outcome == Outcome.IMPROVED
    promoted = door.promoted(session)
    assert promoted.metadata.summary.signature == "serving_default"
    second = door.verdict(promoted, dataset, narrowed("litert-weight-only"))
    assert not second.steps.exclude(traceback="").exists()


def test_a_model_that_keeps_a_state_between_calls_is_named_before_anything_is_tried(door: Door, uploads: Path) -> None:
    version, dataset = door.model(uploads / "stateful.keras"), door.data(uploads / "stateful.npz", SPEC)
    session = door.run(version, dataset, narrowed("litert-export", "tensorflow-onnx-export", "litert-float16"))
    assert (session.status, session.error_code) == (Status.FAILED, "model.not_deterministic")
    assert "keep state between calls" in session.error
    assert session.steps.count() == 1


@pytest.mark.nightly
def test_a_network_is_pruned_trained_again_exported_and_quantized_as_one_candidate(door: Door, uploads: Path) -> None:
    chain = ("keras-prune", "keras-recover", "litert-export", "litert-static")
    smaller = Constraints(max_metric_drop_points=30.0, min_size_reduction=5.0)  # Than 8 bits alone can make it.
    required = {"required_techniques": ("keras-recover",), "budget": Budget(minutes=8.0, candidates=1)}
    criteria = quick(*chain, constraints=smaller, **required)
    version = door.model(uploads / "coloured.keras")
    with shorter_sensitivity(2.0):
        session = door.verdict(version, door.data(uploads / "coloured.npz", {**SPEC, "training_share": 0.5}), criteria)
    assert session.outcome == Outcome.IMPROVED, told(session)
    (candidate,) = session.candidates.filter(status="selected")
    assert tuple(link["technique"] for link in candidate.steps) == chain
    made = {step.technique: step.result for step in session.steps.filter(kind="optimize").order_by("pk")}
    assert made["keras-prune"]["evidence"]["macs_removed"] >= 0.49
    trained = made["keras-recover"]["evidence"]
    assert trained["held_out_loss_after"] < trained["held_out_loss_before"]
    assert made["litert-static"]["size_bytes"] < version.metadata.summary.size_bytes / 5


@pytest.mark.nightly
def test_the_size_that_counts_can_be_that_of_the_tensorflow_lite_file(door: Door, uploads: Path) -> None:
    """Original and candidate are exported, and the files that an app would ship are compared."""
    minutes = Budget(minutes=6.0, candidates=1)
    criteria = quick("keras-prune", counted_size=CountedSize.TFLITE, budget=minutes)
    version = door.model(uploads / "coloured.keras")
    with shorter_sensitivity(2.0):
        session = door.verdict(version, door.data(uploads / "coloured.npz", SPEC), criteria)
    assert session.outcome == Outcome.IMPROVED, told(session)
    judged = session.steps.get(kind="evaluate", parameters__part="evaluation")
    report = EvaluationReport.model_validate(judged.result)
    assert report.litert_bytes is not None
    assert report.counted_bytes == report.litert_bytes
    assert report.litert_bytes.original != report.size_bytes.original == version.metadata.summary.size_bytes
    assert report.litert_bytes.ratio > 1.1
