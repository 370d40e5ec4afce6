"""The models of Keras and TensorFlow do in float what they are known to do. TensorFlow runs in processes of its own."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter

from tests.assets import packages
from tests.assets.building import BuildError, run_recipe
from tests.assets.fetch import sha256
from tests.assets.models import Trio, audio_windows
from tests.assets.plugin import obtain

# The first run downloads and builds.
pytestmark = [pytest.mark.assets, pytest.mark.slow, pytest.mark.timeout(900)]

ONNX_OUTPUTS = {
    "contour": "StatefulPartitionedCall:0",
    "note": "StatefulPartitionedCall:1",
    "onset": "StatefulPartitionedCall:2",
}


def outputs(library: str, model: Path, data: Path, scratch: Path) -> dict[str, np.ndarray]:
    """What `model` gives for all of `data`, whose array bears its input's name; `library` reads it."""
    found = scratch / "outputs.npz"
    run_recipe("tensorflow_outputs.py", library, model, data, found)
    return dict(np.load(found))


def accuracy(logits: np.ndarray, data: Path) -> float:
    """Top-1 in per cent."""
    return float(100 * (logits.argmax(1) == np.load(data)["y"]).mean())


@pytest.fixture(scope="module")
def thousand_pictures() -> Path:
    """The first 1,000 test pictures of CIFAR-10."""
    return obtain("cifar10_pictures", examples=1000)


@pytest.fixture(scope="module")
def cifar10_logits(cifar10_cnn: Path, thousand_pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """What the `.h5` gives for them."""
    (logits,) = outputs("keras", cifar10_cnn, thousand_pictures, tmp_path_factory.mktemp("h5")).values()
    return logits


@pytest.mark.usefixtures("cifar10_tested", "mnist_tested")
def test_published_files_are_handed_out_as_they_were_pinned(
    cifar10_cnn: Path, mnist_cnn: Path, basic_pitch: Trio
) -> None:
    pinned = {
        Path(member).name: digest
        for package in (packages.CIFAR10_CNN, packages.MNIST_CNN, packages.BASIC_PITCH)
        for member, digest in package.files.items()
    }
    for path in (cifar10_cnn, mnist_cnn, basic_pitch.onnx, basic_pitch.tflite):
        assert sha256(path.read_bytes()) == pinned[path.name]
    with zipfile.ZipFile(basic_pitch.saved_model) as archive:
        assert len(archive.namelist()) == 3
        for member in archive.namelist():
            assert sha256(archive.read(member)) == pinned[Path(member).name]


# --- CIFAR-10 ---------------------------------------------------------------------------------------------------------


def test_the_cnn_knows_four_in_five_test_pictures(cifar10_logits: np.ndarray, thousand_pictures: Path) -> None:
    assert cifar10_logits.shape == (1000, 10)
    assert accuracy(cifar10_logits, thousand_pictures) == pytest.approx(82.4, abs=0.3)  # of all 10,000: 80.14
    assert cifar10_logits.min() == 0  # its last layer ends in a ReLU


def test_the_training_set_flatters_the_cnn(cifar10_cnn: Path, tmp_path: Path) -> None:
    pictures = obtain("cifar10_pictures", part="training", examples=1000)
    (logits,) = outputs("keras", cifar10_cnn, pictures, tmp_path).values()

    assert accuracy(logits, pictures) == pytest.approx(86.9, abs=0.3)


@pytest.mark.parametrize(
    ("function", "library"), [("cifar10_cnn_keras", "keras"), ("cifar10_cnn_saved_model", "tensorflow")]
)
def test_the_cnn_is_the_same_in_other_formats(
    function: str, library: str, cifar10_logits: np.ndarray, thousand_pictures: Path, tmp_path: Path
) -> None:
    (logits,) = outputs(library, obtain(function), thousand_pictures, tmp_path).values()

    np.testing.assert_allclose(logits, cifar10_logits, atol=1e-4)


def test_only_the_h5_holds_the_state_of_an_optimizer(
    cifar10_cnn: Path, cifar10_cnn_keras: Path, cifar10_cnn_saved_model: Path
) -> None:
    weights_bytes = 4 * 969_418

    assert cifar10_cnn.stat().st_size > 3 * weights_bytes  # Adam keeps two numbers for each weight
    assert cifar10_cnn_keras.stat().st_size < 1.1 * weights_bytes
    with zipfile.ZipFile(cifar10_cnn_saved_model) as archive:
        assert {"saved_model.pb", "variables/variables.index"} <= set(archive.namelist())
        # Not the optimizer's: `model.export` writes each variable under two names.
        assert 2 * weights_bytes <= archive.getinfo("variables/variables.data-00000-of-00001").file_size


def test_cifar10_pictures_are_as_published(cifar10: Path, cifar10_tested: Path, cifar10_trained: Path) -> None:
    published, tested, trained = (np.load(path) for path in (cifar10, cifar10_tested, cifar10_trained))

    np.testing.assert_array_equal(tested["conv2d_input"], published["images"])
    np.testing.assert_array_equal(tested["y"], published["y"])
    assert trained["conv2d_input"].shape == (3000, 32, 32, 3)
    for data in (tested, trained):
        assert data["conv2d_input"].dtype == np.float32
        assert data["conv2d_input"].max() == 255
        assert data["y"].dtype == np.int64
    seen = {picture.tobytes() for picture in tested["conv2d_input"]}
    assert not any(picture.tobytes() in seen for picture in trained["conv2d_input"])


# --- MNIST ------------------------------------------------------------------------------------------------------------


def test_the_mnist_model_reads_digits(mnist_cnn: Path, tmp_path: Path) -> None:
    digits = obtain("mnist_examples", examples=1000)
    (probabilities,) = outputs("tf_keras", mnist_cnn, digits, tmp_path).values()

    assert probabilities.shape == (1000, 10)
    assert accuracy(probabilities, digits) >= 98


def test_keras_3_does_not_load_the_mnist_model(mnist_cnn: Path, mnist_tested: Path, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="TypeError"):
        outputs("keras", mnist_cnn, mnist_tested, tmp_path)


def test_mnist_is_whole(mnist_tested: Path) -> None:
    data = np.load(mnist_tested)

    assert data["conv2d_1_input"].shape == (10_000, 28, 28, 1)
    assert data["conv2d_1_input"].dtype == np.float32
    assert (data["conv2d_1_input"].min(), data["conv2d_1_input"].max()) == (0, 1)
    assert np.bincount(data["y"]).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


# --- basic-pitch ------------------------------------------------------------------------------------------------------


def test_basic_pitch_hears_the_same_notes_in_all_three_formats(
    basic_pitch: Trio, singing: Path, tmp_path: Path
) -> None:
    heard = outputs("tensorflow", basic_pitch.saved_model, singing, tmp_path)
    windows = np.load(singing)["input_2"]
    session = onnxruntime.InferenceSession(str(basic_pitch.onnx), providers=["CPUExecutionProvider"])
    onnx = session.run(list(ONNX_OUTPUTS.values()), {"serving_default_input_2:0": windows})
    run = Interpreter(str(basic_pitch.tflite), num_threads=1).get_signature_runner()
    litert = [run(input_2=window[None]) for window in windows]

    assert {name: output.shape[1:] for name, output in heard.items()} == {
        "contour": (172, 264),
        "note": (172, 88),
        "onset": (172, 88),
    }
    assert (heard["note"].max((1, 2)) > 0.5).all(), "a window without a note"
    for name, from_onnx in zip(ONNX_OUTPUTS, onnx, strict=True):
        # Sums in another order: 6e-5 of a probability apart on a processor without AVX-512.
        np.testing.assert_allclose(from_onnx, heard[name], atol=2e-4)
        np.testing.assert_allclose(np.concatenate([one[name] for one in litert]), heard[name], atol=2e-4)


def test_windows_of_singing_are_loud_and_all_different(singing: Path) -> None:
    data = np.load(singing)
    windows = data["input_2"]

    assert data.files == ["input_2"]
    assert windows.shape == (40, 43_844, 1)
    assert windows.dtype == np.float32
    assert np.abs(windows).max() <= 1
    assert np.sqrt((windows**2).mean((1, 2))).min() > 0.01
    assert len({window.tobytes() for window in windows}) == 40


@pytest.mark.usefixtures("basic_pitch")
def test_windows_bear_the_name_that_the_onnx_file_gives_its_input() -> None:
    data = np.load(audio_windows(3, "serving_default_input_2:0"))

    assert data["serving_default_input_2:0"].shape == (3, 43_844, 1)
