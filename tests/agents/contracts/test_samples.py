"""The samples are what samples/README.md says: the same bytes, as accurate, small enough to ship."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

SAMPLES = Path(__file__).resolve().parents[3] / "samples"
README = (SAMPLES / "README.md").read_text()
DATA = SAMPLES / "fashion_mnist_test.npz"
MODELS = ("fashion_resnet.onnx", "fashion_mobilenet.onnx")


def row(name: str) -> list[str]:
    """The cells of README's table row about file `name`."""
    line = next(line for line in README.splitlines() if line.startswith(f"| `{name}`"))
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize("name", [*MODELS, DATA.name])
def test_the_readme_gives_the_digest_of_each_file(name: str) -> None:
    assert f"`{hashlib.sha256((SAMPLES / name).read_bytes()).hexdigest()}`" in row(name)


def test_all_samples_together_stay_below_8_mb() -> None:
    assert sum((SAMPLES / name).stat().st_size for name in (*MODELS, DATA.name)) < 8_000_000


def test_the_data_are_at_least_3000_raw_images_of_all_ten_classes() -> None:
    data = np.load(DATA)

    assert sorted(data.files) == ["image", "y"]
    assert data["image"].dtype == np.uint8
    assert data["y"].dtype == np.int64
    assert data["image"].shape == (len(data["y"]), 1, 28, 28)
    assert len(data["y"]) >= 3000
    assert np.bincount(data["y"], minlength=10).min() > 250


@pytest.mark.parametrize("name", MODELS)
def test_each_model_is_as_accurate_as_the_readme_says(name: str) -> None:
    data = np.load(DATA)
    session = onnxruntime.InferenceSession(str(SAMPLES / name), providers=["CPUExecutionProvider"])
    images, labels = data["image"].astype(np.float32), data["y"]
    right = [
        session.run(None, {"image": images[start : start + 500]})[0].argmax(1) == labels[start : start + 500]
        for start in range(0, len(labels), 500)
    ]
    claimed = next(float(match[1]) for cell in row(name) if (match := re.fullmatch(r"([\d.]+) %", cell)))

    assert 100 * np.concatenate(right).mean() == pytest.approx(claimed, abs=0.5)


@pytest.mark.parametrize("name", MODELS)
def test_each_model_takes_any_number_of_raw_images(name: str) -> None:
    model = onnx.load(SAMPLES / name)
    onnx.checker.check_model(model, full_check=True)
    (image,), (logits,) = model.graph.input, model.graph.output

    assert (image.name, axes(image)) == ("image", ["batch", 1, 28, 28])
    assert (logits.name, axes(logits)) == ("logits", ["batch", 10])
    assert model.opset_import[0].version >= 17


@pytest.mark.parametrize("name", MODELS)
def test_no_path_of_the_training_machine_is_left_in_the_files(name: str) -> None:
    model = onnx.load(SAMPLES / name)

    assert not model.metadata_props
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    assert b"site-packages" not in (SAMPLES / name).read_bytes()


def axes(value: onnx.ValueInfoProto) -> list[int | str]:
    return [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
