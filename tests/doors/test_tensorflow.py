"""Keras and SavedModel from the bytes of an upload to a verdict, and on from the LiteRT that was promoted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from apps.agents.contracts.criteria import Budget, Criteria
from apps.agents.contracts.state import Outcome, Status
from tests.door import Door, quick

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
SPEC: dict[str, Any] = {"kind": "npz", "task": "classification"}


@pytest.fixture(scope="module")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uploads")
    command = [sys.executable, "-m", "tests.doors.tensorflow_uploads", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=300)
    return folder


def narrowed(*techniques: str) -> Criteria:
    """Minutes that suffice for the start of TensorFlow in each step."""
    return quick(*techniques, budget=Budget(minutes=4.0, candidates=1))


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
