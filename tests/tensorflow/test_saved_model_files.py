"""SavedModels of many kinds, as inspection tells them and as they run afterwards."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from apps.agents.backends.tensorflow.inspection import inspect
from apps.agents.backends.tensorflow.loading import load_opened
from apps.agents.backends.tensorflow.opening import open_model
from apps.agents.backends.tensorflow.saved_model_file import read_saved_model
from apps.agents.contracts.errors.models import ModelWrongType
from apps.agents.contracts.errors.tensorflow_models import (
    SavedModelAlone,
    SavedModelDamaged,
    SignatureMissing,
    SignatureUnknown,
    VariablesMissing,
)
from tests.tensorflow import uploads


def written(builder: str, tmp_path: Path) -> Path:
    return uploads.SAVED_MODELS[builder](tmp_path / "saved")


@pytest.mark.parametrize(
    ("builder", "inputs", "outputs", "parameters"),
    [
        ("module", ["word: string[?]"], ["number: float32[?]"], 0),
        ("exported", ["pictures: float32[?, 8, 8, 3]"], ["output_0: float32[?, 2]"], 138),
        ("vectorized_texts", ["text: string[?]"], ["output_0: float32[?, 2]"], 16),
        ("of_tf_keras", ["pictures: float32[?, 8, 8, 3]"], ["scores: float32[?, 2]"], 138),
        ("of_tensorflow_1", ["given: float32[?, 4]"], ["out: float32[?, 2]"], 8),
    ],
)
def test_an_honest_model_passes(
    builder: str, inputs: list[str], outputs: list[str], parameters: int, tmp_path: Path
) -> None:
    summary = inspect(uploads.zipped(written(builder, tmp_path)), tmp_path)
    assert [str(spec) for spec in summary.inputs] == inputs
    assert [str(spec) for spec in summary.outputs] == outputs
    assert summary.parameters == parameters
    assert summary.producer == f"TensorFlow {tf.__version__}"


@pytest.mark.parametrize("builder", uploads.SAVED_MODELS)
def test_an_honest_model_runs(builder: str, tmp_path: Path) -> None:
    model = load_opened(open_model(uploads.zipped(written(builder, tmp_path)), tmp_path))
    spec = model.summary.inputs[0]
    shape = [2 if axis is None else axis for axis in spec.shape]
    given = tf.fill(shape, "dog") if spec.dtype == "string" else tf.zeros(shape)
    results = model.call({spec.name: given})
    assert [tuple(results[one.name].shape) for one in model.summary.outputs] == [
        tuple(2 if axis is None else axis for axis in one.shape) for one in model.summary.outputs
    ]


def test_a_signature_is_chosen_by_its_name(tmp_path: Path) -> None:
    archive = uploads.zipped(written("module", tmp_path))
    summary = inspect(archive, tmp_path, signature="scale")
    assert (summary.signature, summary.parameters) == ("scale", 2)
    assert [signature.name for signature in summary.signatures] == ["look_up", "scale"]
    with pytest.raises(SignatureUnknown, match=r"'train'\. It has look_up, scale"):
        inspect(archive, tmp_path, signature="train")


def test_a_table_of_words_in_the_graph_gives_its_numbers(tmp_path: Path) -> None:
    model = load_opened(open_model(uploads.zipped(written("module", tmp_path)), tmp_path), "look_up")
    assert model.call({"word": tf.constant(["dog", "bird"])})["number"].numpy().tolist() == [1.0, -1.0]


def test_the_folder_itself_opens_again(tmp_path: Path) -> None:
    assert open_model(written("exported", tmp_path), tmp_path).described.tags == ("serve",)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("leftover", "missing"), [("*.data-*", "variables/variables.index"), ("*.index", "variables/variables.data-")]
)
def test_variables_are_missed(leftover: str, missing: str, tmp_path: Path) -> None:
    folder = written("exported", tmp_path)
    for path in (folder / "variables").iterdir():
        if not path.match(leftover):
            path.unlink()
    with pytest.raises(VariablesMissing, match=missing):
        inspect(uploads.zipped(folder), tmp_path)


def test_the_protobuf_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SavedModelAlone):
        inspect(written("exported", tmp_path) / "saved_model.pb", tmp_path)


def test_a_model_without_a_signature_is_refused(tmp_path: Path) -> None:
    tf.saved_model.save(tf.Module(), str(tmp_path / "saved"))
    with pytest.raises(SignatureMissing):
        inspect(uploads.zipped(tmp_path / "saved"), tmp_path)


@pytest.mark.parametrize("content", [b"", b"garbage" * 50, b"\x08\x01", b"\xff" * 64])
def test_garbage_for_a_protobuf_is_refused(content: bytes, tmp_path: Path) -> None:
    folder = written("module", tmp_path)
    (folder / "saved_model.pb").write_bytes(content)
    with pytest.raises(SavedModelDamaged):
        inspect(uploads.zipped(folder), tmp_path)


def test_a_picture_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "cat").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
    with pytest.raises(ModelWrongType, match="a PNG image"):
        inspect(tmp_path / "cat", tmp_path)


def test_every_kind_of_weight_counts_once(tmp_path: Path) -> None:
    kernel = tf.constant(np.ones((3, 3), np.float32))

    def twice(x: Any) -> Any:
        return tf.linalg.matvec(kernel, tf.linalg.matvec(kernel, x))

    folder = uploads.function(tmp_path / "saved", twice)
    assert read_saved_model(folder).summary().parameters == 9
    shutil.rmtree(folder)
