"""ONNX from the bytes of an upload to a verdict, and on from what was promoted."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

from apps.agents.contracts.criteria import Budget
from apps.agents.contracts.state import Outcome
from lathe import terminal
from lathe.testing.data_sets import npz
from tests.door import API, Door, quick
from tests.optimization.test_real_sessions import comma_separated

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


def test_a_session_starts_from_what_another_has_promoted(door: Door) -> None:
    case = comma_separated()
    version, dataset = door.model(case.model, "net.onnx"), door.data(case.data, case.spec, case.filename)
    first = door.verdict(version, dataset, quick("onnx-dynamic-int8"))
    assert first.outcome == Outcome.IMPROVED
    second = door.verdict(door.promoted(first), dataset)
    assert not second.steps.exclude(traceback="").exists()


@pytest.mark.nightly
def test_a_slow_candidate_says_which_operators_take_the_time(door: Door) -> None:
    """Ranges that are taken while the model runs: ONNX Runtime's kernel for such convolutions is slow."""
    version = door.model(SAMPLES / "fashion_resnet.onnx", "resnet.onnx")
    with np.load(SAMPLES / "fashion_mnist_test.npz") as data:
        some = npz(image=data["image"][:600], y=data["y"][:600])
    dataset = door.data(some, {"kind": "npz", "task": "classification"}, "test.npz")
    done = door.verdict(version, dataset, quick("onnx-dynamic-int8", budget=Budget(minutes=5.0, candidates=1)))

    told = door.client.get(f"{API}/sessions/{done.pk}/report/").json()
    candidate = told["candidates"][0]
    slowdown = candidate["evaluation"]["slowdown"]
    named = [one["name"] for one in slowdown["operators"]]
    assert "Conv → ConvInteger" in named, slowdown
    slowest = named[0]  # Beside other work, what the conversion adds after each convolution may take longer.
    assert slowest in ("Conv → ConvInteger", "Mul"), slowdown
    assert slowdown["candidate_ms"] > slowdown["original_ms"] > 0
    assert "DynamicQuantizeLinear" in {one["kind"] for one in slowdown["conversions"]}
    sentence = told["verdict"]["headline"]["sentence"]
    assert any(words in sentence for words in ("slower", "as fast as before", "speed not known")), sentence
    assert f"c01: {slowest} takes" in terminal.report(done, width=200)
    with ZipFile(BytesIO(door.package(done))) as package:
        assert f"{sentence}." in package.read("README.txt").decode()
        assert slowest in package.read("report.html").decode()
