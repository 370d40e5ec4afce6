"""What is made on the spot has the size that was asked for, is the same every time, and is what Lathe accepts."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from transformers import AutoTokenizer

from apps.agents.contracts.criteria import Target
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.datasets.loading import load_dataset
from apps.agents.measuring.engine import open_engine
from lathe.testing import data_sets, folders, litert_models, onnx_models, torch_models, transformers_folders
from lathe.testing.widths import MEGABYTE, width_for

pytestmark = pytest.mark.portable

NEAR = 0.15
MAKERS = [onnx_models.perceptron, onnx_models.convolutional, onnx_models.transformer]
EXAMPLES: list[Callable[..., data_sets.Arrays]] = [
    data_sets.features,
    data_sets.pictures,
    data_sets.regression,
    data_sets.tokens,
]


# --- models ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("megabytes", [1, 20])
def test_an_onnx_model_is_valid_and_has_the_size(make: Callable[..., onnx.ModelProto], megabytes: int) -> None:
    model = make(megabytes)
    onnx.checker.check_model(model, full_check=True)
    assert model.ByteSize() / MEGABYTE == pytest.approx(megabytes, rel=NEAR)


@pytest.mark.parametrize("make", MAKERS)
def test_the_same_seed_makes_the_same_model_and_another_makes_another(make: Callable[..., onnx.ModelProto]) -> None:
    first, same, other = (make(1, seed=seed).SerializeToString() for seed in (3, 3, 4))
    assert first == same != other


@pytest.mark.parametrize(
    ("make", "data", "kind"),
    [
        (onnx_models.perceptron, data_sets.features(60), np.float32),
        (onnx_models.convolutional, data_sets.pictures(60), np.float32),
        (onnx_models.transformer, data_sets.tokens(60), np.int64),
    ],
)
def test_a_model_answers_its_examples_differently(
    make: Callable[..., onnx.ModelProto], data: data_sets.Arrays, kind: type
) -> None:
    session = onnxruntime.InferenceSession(make(1).SerializeToString(), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    (logits,) = session.run(None, {name: data[name].astype(kind)})
    assert np.isfinite(logits).all()
    assert len(np.unique(logits.round(4), axis=0)) == 60


def test_lathe_opens_a_made_model_with_made_data(tmp_path: Path) -> None:
    model, data = tmp_path / "model.onnx", tmp_path / "data.npz"
    onnx.save(onnx_models.convolutional(1, side=16), model)
    data.write_bytes(data_sets.npz(**data_sets.pictures(100, side=16)))
    summary = open_engine("onnx", model, tmp_path).summary
    spec = DatasetSpec(kind="npz", task="classification")
    dataset = load_dataset(data, spec, summary.inputs, 0, outputs=summary.outputs)
    assert dataset.summary.examples == 100
    labels = np.concatenate([np.asarray(labels) for _, labels in dataset.evaluation(64)])
    assert len(np.unique(labels)) == 10


@pytest.mark.parametrize("make", [torch_models.perceptron, torch_models.convolutional])
def test_a_torch_model_has_the_size_and_depends_on_its_seed_alone(make: Callable[..., Any]) -> None:
    first, same = make(1), make(1)
    size = sum(one.numel() for one in first.parameters()) * 4 / MEGABYTE
    assert size == pytest.approx(1, rel=NEAR)
    pairs = zip(first.parameters(), same.parameters(), strict=True)
    assert all((one == two).all() for one, two in pairs)


def test_an_exported_program_takes_batches_of_any_size(tmp_path: Path) -> None:
    path = torch_models.exported(torch_models.convolutional(0.1), (3, 16, 16), tmp_path / "model.pt2")
    engine = open_engine("torch-export", path, tmp_path)
    name = engine.summary.inputs[0].name
    run = engine.session(Target())
    for size in (1, 5):
        (logits,) = run({name: np.ones((size, 3, 16, 16), np.float32)})
        assert logits.shape == (size, 10)


@pytest.mark.parametrize(
    ("make", "shape"), [(litert_models.perceptron, (16,)), (litert_models.convolutional, (32, 32, 3))]
)
def test_a_litert_model_has_the_size_takes_batches_of_any_size_and_depends_on_its_seed_alone(
    make: Callable[..., bytes], shape: tuple[int, ...], tmp_path: Path
) -> None:
    first, same, other = make(1), make(1), make(1, seed=1)
    assert len(first) / MEGABYTE == pytest.approx(1, rel=NEAR)
    assert first == same != other
    path = tmp_path / "model.tflite"
    path.write_bytes(first)
    run = open_engine("tflite", path, tmp_path).session(Target())
    for size in (1, 5):
        x = np.random.default_rng(0).standard_normal((size, *shape)).astype(np.float32)
        (logits,) = run({"x": x})
        assert (logits.shape, len(np.unique(logits.round(4), axis=0))) == ((size, 10), size)


@pytest.mark.parametrize("megabytes", [1, 10])
def test_a_transformers_folder_has_the_size_and_a_tokenizer_that_knows_the_texts(
    megabytes: int, tmp_path: Path
) -> None:
    made, same = (transformers_folders.classifier(tmp_path / name, megabytes) for name in ("first", "same"))
    weights = made / "model.safetensors"
    assert weights.stat().st_size / MEGABYTE == pytest.approx(megabytes, rel=NEAR)
    assert weights.read_bytes() == (same / "model.safetensors").read_bytes()
    tokenizer = AutoTokenizer.from_pretrained(made, local_files_only=True)
    read = tokenizer([row["text"] for row in data_sets.texts(4, words=5)])["input_ids"]
    assert {len(tokens) for tokens in read} == {7}
    assert tokenizer.unk_token_id not in np.concatenate(read)


def test_a_folder_is_the_same_zip_whenever_it_is_made(tmp_path: Path) -> None:
    first = folders.zipped(transformers_folders.classifier(tmp_path / "model", 1)).read_bytes()
    assert folders.zipped(tmp_path / "model").read_bytes() == first
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(archive.namelist())


def test_a_size_that_no_width_has_is_refused() -> None:
    assert width_for(4.0, 1.0, 0.0) == 1000
    with pytest.raises(ValueError, match="do not depend on the width"):
        width_for(0.001, 1.0, 1.0, 1000.0)


# --- data sets -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", EXAMPLES)
def test_examples_are_as_many_as_asked_for_and_depend_on_the_seed_alone(make: Callable[..., data_sets.Arrays]) -> None:
    first, same, other = make(50, seed=1), make(50, seed=1), make(50, seed=2)
    assert {len(array) for array in first.values()} == {50}
    assert all((first[name] == same[name]).all() for name in first)
    assert any((first[name] != other[name]).any() for name in first)


def test_classes_can_be_told_apart() -> None:
    """By the nearest mean of the other half: the labels mean something."""
    for made in (data_sets.features(400), data_sets.pictures(400, side=8), data_sets.tokens(400, vocabulary=20)):
        name = next(one for one in made if one != "y")
        x, y = made[name].reshape(400, -1).astype(float), made["y"]
        if name == "input_ids":
            x = np.stack([(x < 10).mean(1), (x >= 10).mean(1)], 1)
        means = np.stack([x[:200][y[:200] == label].mean(0) for label in np.unique(y)])
        nearest = ((x[200:, np.newaxis] - means) ** 2).sum(2).argmin(1)
        assert (nearest == y[200:]).mean() > 0.9


def test_a_table_has_a_column_for_each_entry() -> None:
    lines = data_sets.table(data_sets.regression(3, columns=2)).decode().splitlines()
    assert lines[0] == "x0,x1,y"
    assert np.loadtxt(io.StringIO("\n".join(lines[1:])), delimiter=",").shape == (3, 3)


def test_texts_are_lines_with_a_label() -> None:
    rows = [json.loads(line) for line in data_sets.jsonl(data_sets.texts(4, words=5)).splitlines()]
    assert [row["label"] for row in rows] == [0, 1, 0, 1]
    assert {len(row["text"].split()) for row in rows} == {5}


@pytest.mark.parametrize("size", [5, 1000, 9 * 2**20])
def test_a_table_of_a_size_has_it_to_the_byte(size: int) -> None:
    assert sum(map(len, data_sets.table_of_size(size))) == size
