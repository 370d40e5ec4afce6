"""TensorFlow Lite from the bytes of an upload to a verdict, and on from what was promoted."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

from apps.agents.contracts.state import Outcome
from tests.agents.litert_files import WIDE, Function, litert_file, weights
from tests.door import Door, quick

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

SERVE, ENCODE = Function("serving_default", seed=1), Function("encode", "left", "right", seed=2)
SPEC: dict[str, Any] = {"kind": "npz", "task": "classification"}


def examples(meant: Function) -> bytes:
    x = np.random.default_rng(3).standard_normal((150, WIDE)).astype(np.float32)
    sink = io.BytesIO()
    np.savez(sink, **{meant.takes: x, "y": (x @ weights(meant.seed).T).argmax(1)})
    return sink.getvalue()


def test_a_model_with_a_signature_is_optimized_and_its_result_is_again(door: Door) -> None:
    version, dataset = door.model(litert_file(SERVE), "net.tflite"), door.data(examples(SERVE), SPEC, "data.npz")
    assert version.metadata.summary.signature == "serving_default"
    first = door.verdict(version, dataset, quick("litert-dynamic"))
    assert first.outcome == Outcome.IMPROVED
    second = door.verdict(door.promoted(first), dataset, quick("litert-float16"))
    assert not second.steps.exclude(traceback="").exists()


@pytest.mark.nightly
def test_a_session_is_about_the_signature_that_was_chosen_of_several(door: Door) -> None:
    version, dataset = door.model(litert_file(SERVE, ENCODE), "net.tflite"), door.data(examples(ENCODE), SPEC, "d.npz")
    version = door.chosen(version, "encode")
    assert [spec.name for spec in version.metadata.summary.inputs] == ["left"]
    session = door.verdict(version, dataset, quick("litert-dynamic"))
    assert session.outcome == Outcome.IMPROVED
    assert door.promoted(session).metadata.summary.signature == "encode"
