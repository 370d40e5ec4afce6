"""What is exported is the same network; and the quantizer in use does as well as TensorFlow's own converter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from apps.agents.backends.litert.flatbuffer import parse_litert
from apps.agents.backends.litert.quantizing import Mode, Scheme, measure_ranges, quantize
from apps.agents.backends.litert.runtime import Session
from apps.agents.contracts.criteria import Target
from tests.tensorflow.keras_lessons import made


@pytest.fixture(scope="module")
def exported(trained: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return made(trained, data, tmp_path_factory.mktemp("exported"), "litert-export").artifact.read_bytes()


def converted(model: Path, images: Any, *, static: bool) -> bytes:
    """By TensorFlow's converter."""
    converter = tf.lite.TFLiteConverter.from_keras_model(tf.keras.models.load_model(model, compile=False))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if static:
        converter.representative_dataset = lambda: ([image[None]] for image in images[:100])
    return converter.convert()


def right(model: bytes, images: Any, labels: Any) -> float:
    file = parse_litert(model)
    outputs = Session(file, model, Target())({file.inputs[0].name: images})[0]
    return float(100 * (outputs.argmax(1) == labels).mean())


@pytest.mark.parametrize("static", [False, True], ids=["dynamic", "static"])
def test_files_are_as_small_as_the_converter_s_and_lose_no_more(
    exported: bytes,
    trained: Path,
    data: Path,
    static: bool,
):
    arrays = np.load(data)
    images, labels = arrays["image"][1000:2500], arrays["y"][1000:2500]
    scheme, ranges = Scheme(Mode.STATIC if static else Mode.DYNAMIC), None
    if static:
        batches = [{"image": image[None]} for image in arrays["image"][:100]]
        ranges = measure_ranges(exported, parse_litert(exported), scheme, "test", batches, threads=1)
    ours, theirs = quantize(exported, scheme, "test", ranges=ranges), converted(trained, arrays["image"], static=static)

    assert len(ours) < 1.1 * len(theirs)
    assert right(ours, images, labels) > right(theirs, images, labels) - 1.5
    assert len(ours) < 0.5 * len(exported)


def test_inputs_and_outputs_keep_their_names(exported: bytes):
    file = parse_litert(exported)
    assert ([port.name for port in file.inputs], [port.name for port in file.outputs]) == (["image"], ["logits"])
