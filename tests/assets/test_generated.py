"""Generated models are what their docstrings say. No clock here: their speed is for a session to find."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from tests.assets.file_types import features
from tests.assets.generated import slow_when_quantized


def test_the_same_model_and_data_come_out_every_time(tmp_path: Path) -> None:
    first, second = tmp_path / "first.onnx", tmp_path / "second.onnx"
    data = [np.load(slow_when_quantized(path)) for path in (first, second)]

    assert first.read_bytes() == second.read_bytes()
    for name in ("image", "y"):
        np.testing.assert_array_equal(data[0][name], data[1][name])


def test_it_is_right_but_for_the_labels_that_were_changed(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    data = np.load(slow_when_quantized(path))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    right = session.run(None, {"image": data["image"]})[0].argmax(1) == data["y"]

    assert 0.85 < right.mean() < 0.95
    assert np.bincount(data["y"], minlength=10).min() >= 20


def test_all_its_convolutions_but_the_first_are_depthwise(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    slow_when_quantized(path)
    graph = onnx.load(path).graph
    groups = [
        next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
        for node in graph.node
        if node.op_type == "Conv"
    ]

    assert groups == [1] + [64] * 8


def test_a_short_file_is_padded_between_its_two_ends() -> None:
    seen = features(b"  hello \n")

    assert seen.dtype == np.int32
    assert bytes(seen[:5].tolist()) == bytes(seen[-5:].tolist()) == b"hello"
    assert (seen[5:-5] == 256).all()


def test_a_long_file_shows_its_first_and_last_kilobyte() -> None:
    seen = features(b"\n" + b"a" * 5000 + b"b" * 5000 + b"\n")

    assert (seen[:1024] == ord("a")).all()
    assert (seen[1024:] == ord("b")).all()
