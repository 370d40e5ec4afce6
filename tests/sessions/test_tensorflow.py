"""Sessions on models of TensorFlow and Keras, from upload to verdict, each in the format that its team has it in."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from apps.agents.backends.litert.engine import LiteRtEngine
from apps.agents.contracts.criteria import Constraints, Objective, Target
from apps.agents.contracts.dataset_spec import DatasetKind, DatasetSpec
from apps.agents.contracts.formats import Format
from apps.agents.contracts.reports.dataset import Task
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.contracts.state import Outcome
from apps.agents.measuring.effort import Effort
from apps.agents.measuring.engine import open_engine
from tests.agents.session.keys import shared_key
from tests.agents.timed import compare_latency
from tests.assets.models import Asset, Trio, audio_windows
from tests.sessions.conftest import CLASSIFICATION, RunSession, allowing, profile
from tests.sessions.driver import Finished

# The first run downloads and builds.
pytestmark = [pytest.mark.assets, pytest.mark.slow, pytest.mark.timeout(900)]

FIDELITY = DatasetSpec(kind=DatasetKind.NPZ, task=Task.FIDELITY)
DYNAMIC, STATIC = "litert-dynamic", "litert-static"
HALF_A_POINT = Constraints(max_metric_drop_points=0.5)


# --- CIFAR-10: plain int8 loses, and one type of operator is why ------------------------------------------------------


@pytest.fixture(scope="module")
def pictures(run_session: RunSession, cifar10_cnn: Path, cifar10_trained: Path) -> Finished:
    """Chosen on pictures that are in no test: what is handed over has never seen the test set."""
    smallest = {"constraints": HALF_A_POINT, "objective": Objective.SIZE}  # What else runs here does not decide it.
    criteria = allowing(profile("balanced", candidates=8).model_copy(update=smallest), "litert-export", STATIC)
    return run_session(cifar10_cnn, cifar10_trained, criteria, CLASSIFICATION, Format.KERAS_H5)


@pytest.fixture(scope="module")
def float_and_chosen(pictures: Finished, tmp_path_factory: pytest.TempPathFactory) -> tuple[LiteRtEngine, LiteRtEngine]:
    scratch = tmp_path_factory.mktemp("engines")
    return tuple(
        LiteRtEngine(path, scratch) for path in (pictures.artifacts[shared_key("litert-export")], pictures.artifact)
    )


def correct(engine: LiteRtEngine, data: Path, batch: int = 250) -> float:
    """Top-1 accuracy over all of `data`, in per cent."""
    arrays, run = np.load(data), engine.session(Target(threads=2))
    images, labels = arrays["conv2d_input"], arrays["y"]
    starts = range(0, len(labels), batch)
    found = np.concatenate([run({"conv2d_input": images[at : at + batch]})[0].argmax(1) for at in starts])
    return float(100 * (found == labels).mean())


def test_on_the_whole_test_set_it_is_smaller_and_loses_no_half_point(
    float_and_chosen: tuple[LiteRtEngine, LiteRtEngine], cifar10_tested: Path
):
    before, after = float_and_chosen
    accuracy = correct(before, cifar10_tested)
    assert accuracy == pytest.approx(80.14, abs=0.02)
    assert accuracy - correct(after, cifar10_tested) <= 0.5
    assert before.summary.size_bytes / after.summary.size_bytes >= 3.7


def test_it_is_much_faster_than_float_litert(float_and_chosen: tuple[LiteRtEngine, LiteRtEngine], cifar10_tested: Path):
    before, after = float_and_chosen
    feeds = {"conv2d_input": np.load(cifar10_tested)["conv2d_input"][:1]}
    calls = [partial(engine.session(Target()), feeds) for engine in (before, after, before)]
    timed = compare_latency(*calls, batch_size=1, threads=1, seed=0, confidence=0.95, effort=Effort(budget_s=4.0))
    assert timed.speedup.value >= 2, "a ratio of runs in turns; it is 3.6 on a quiet machine"


def test_the_search_finds_by_itself_what_must_stay_in_float(pictures: Finished, cifar10_tested: Path, tmp_path: Path):
    """All of it in int8 loses points; what the search keeps in float wins most of them back on the test set, too."""
    plain = next(one for one in pictures.candidates if one.technique == STATIC and one.parent is None)
    assert plain.status == "rejected"
    assert not plain.parameters["keep_float_nodes"]
    repaired = [one for one in pictures.candidates if one.parent and one.key.startswith(plain.key)]
    held = [one for one in repaired if one.status in ("accepted", "selected")]
    assert held, "no repair of it holds the limit"
    kept = {*held[0].parameters["keep_float_operators"], *held[0].parameters["keep_float_nodes"]}
    assert any("MUL" in name or "batchnorm" in name for name in kept)
    lost = {
        key: 80.14 - correct(LiteRtEngine(pictures.artifacts[f"{key}/optimize"], tmp_path), cifar10_tested)
        for key in (plain.key, held[0].key)
    }
    assert lost[plain.key] > 1.5
    assert lost[held[0].key] < lost[plain.key] / 3


def test_the_plan_names_the_runtime_to_deploy_on_and_what_xla_makes_of_it(pictures: Finished):
    assert [mode.name for mode in pictures.analysis.modes] == ["TensorFlow with XLA"]
    assert "ms in TensorFlow" in pictures.plan.summary
    assert "ms in LiteRT" in pictures.plan.summary
    assert "deploy it on " in pictures.plan.summary
    assert {layer.op_type for layer in pictures.analysis.layers} >= {"Conv2D", "Dense"}
    assert sum(layer.macs or 0 for layer in pictures.analysis.layers) == 57_114_368


# --- MNIST: written by a Keras of 2017 --------------------------------------------------------------------------------


def test_a_model_that_keras_3_cannot_read_is_accepted_and_optimized(
    run_session: RunSession, mnist_cnn: Path, mnist_tested: Path
):
    criteria = allowing(profile("smallest", candidates=1, minutes=1.5), "litert-export", DYNAMIC)
    finished = run_session(mnist_cnn, mnist_tested, criteria, CLASSIFICATION, Format.KERAS_H5)

    assert finished.state.model.producer.startswith("Keras 2.0.4, read by tf_keras")
    assert finished.verdict.outcome is Outcome.IMPROVED
    assert finished.winner.primary.original.value == pytest.approx(99.07, abs=0.5)
    assert finished.winner.primary.drop.value <= 0.3
    assert finished.winner.examples_of_part == 7591, "a fifth of what does not calibrate chooses"
    assert finished.winner.size_bytes.ratio >= 3.5
    gains = finished.winner.gains
    assert gains is not None
    assert (gains.runtime, gains.technique, gains.in_turns) == ("LiteRT", "dynamic range", False)
    whole = finished.winner.latency.speedup.value
    assert gains.runtime_speedup * gains.technique_speedup == pytest.approx(whole)


# --- basic-pitch: one net in three formats ----------------------------------------------------------------------------

INPUTS = {Format.SAVED_MODEL: "input_2", Format.ONNX: "serving_default_input_2:0", Format.TFLITE: "input_2"}
TECHNIQUES = {
    Format.SAVED_MODEL: ("litert-export", "litert-float16"),
    Format.ONNX: ("onnx-float16",),
    Format.TFLITE: ("litert-float16",),
}


@pytest.fixture(scope="module")
def nets(run_session: RunSession, basic_pitch: Trio) -> dict[Format, Finished]:
    """A session of each upload."""
    files = {
        Format.SAVED_MODEL: basic_pitch.saved_model,
        Format.ONNX: basic_pitch.onnx,
        Format.TFLITE: basic_pitch.tflite,
    }
    loose = Constraints(max_metric_drop_points=2.0)
    finished = {}
    for which, path in files.items():
        criteria = profile("balanced", candidates=6, minutes=1.2).model_copy(
            update={"constraints": loose, "objective": Objective.SIZE}
        )
        data = audio_windows(24, INPUTS[which])
        finished[which] = run_session(path, data, allowing(criteria, *TECHNIQUES[which]), FIDELITY, which)
    return finished


def multiplied(summary: ModelSummary, onnx_file: Path) -> int:
    """Numbers in filters and matrices: the same however biases, norms and constants were folded on the way."""
    stored = [spec.shape for spec in summary.weights]
    if summary.format == Format.ONNX:  # Its summary counts tensors and does not list them.
        stored = [tuple(tensor.dims) for tensor in onnx.load(onnx_file).graph.initializer if tensor.data_type == 1]
    shapes = [[axis for axis in shape if isinstance(axis, int)] for shape in stored]
    return sum(int(np.prod(shape)) for shape in shapes if sum(axis > 1 for axis in shape) >= 2)


@pytest.mark.parametrize("which", list(INPUTS))
def test_each_upload_of_the_net_gets_a_session_of_its_own(nets: dict[Format, Finished], which: Format):
    assert nets[which].state.model.format == which
    assert nets[which].analysis.latency.p50_ms > 0
    assert nets[which].evaluations, "nothing was measured"


def test_the_three_are_analysed_to_the_same_parameters(nets: dict[Format, Finished], basic_pitch: Trio):
    counted = {which: multiplied(one.state.model, basic_pitch.onnx) for which, one in nets.items()}
    assert counted == dict.fromkeys(INPUTS, 35_057)
    floats = {which: one.state.model.weight_dtypes["float32"] for which, one in nets.items()}
    # Two equal numbers of the TFLite file stand in one buffer, which counts once.
    assert (floats[Format.ONNX], floats[Format.TFLITE]) == (35_740, 35_739)
    # Before norms are folded: two norms of 8 and 32 channels, and numbers that were computed from others.
    assert abs(floats[Format.SAVED_MODEL] - 35_740) < 200


def test_the_three_give_equal_outputs(nets: dict[Format, Finished], basic_pitch: Trio, tmp_path: Path):
    """The SavedModel runs in children of its sessions alone; its export is held to it there, to 60 dB."""
    windows = np.load(audio_windows(24, "input_2"))["input_2"][:4]
    exported = nets[Format.SAVED_MODEL].artifacts[shared_key("litert-export")]
    engines = [
        open_engine(Format.TFLITE, exported, tmp_path),
        open_engine(Format.TFLITE, basic_pitch.tflite, tmp_path),
        open_engine(Format.ONNX, basic_pitch.onnx, tmp_path),
    ]
    found: list[dict[str, Any]] = []
    for engine in engines:
        name = engine.summary.inputs[0].name
        outputs = engine.session(Target())({name: windows})
        found.append({str(output.shape[-1]) + str(round(float(output.mean()), 3)): output for output in outputs})
    for other in found[1:]:
        assert other.keys() == found[0].keys()
        for key, output in other.items():
            np.testing.assert_allclose(output, found[0][key], atol=2e-4)


# --- texts as they are ------------------------------------------------------------------------------------------------


def test_a_saved_model_that_takes_strings_is_analysed_and_techniques_say_why_not(
    run_session: RunSession, text_saved_model: Asset
):
    finished = run_session(
        text_saved_model.model,
        text_saved_model.data,
        profile("balanced", candidates=8),
        CLASSIFICATION,
        Format.SAVED_MODEL,
    )

    assert [spec.dtype for spec in finished.state.model.inputs] == ["string"]
    assert [one.name for one in finished.state.model.signatures] == ["embed", "serving_default"]
    assert finished.state.model.signature == "serving_default"
    assert finished.analysis.latency.p50_ms > 0
    assert finished.verdict.outcome is Outcome.NOT_MEASURED
    told = {omission.title: omission.reason for omission in finished.plan.omitted}
    assert told["Export to LiteRT"] == "text is a string, which Export to LiteRT does not support."
    assert told["Export to ONNX (tf2onnx)"] == "text is a string, which Export to ONNX (tf2onnx) does not support."
    assert "text is a string" in told["Techniques for LiteRT"]
    assert "text is a string" in told["Techniques for ONNX"]
