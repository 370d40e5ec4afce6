from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from apps.agents.backends.onnx import runtime
from apps.agents.contracts.criteria import Device, Target
from apps.agents.contracts.errors.running import DeviceMissing, ModelNotLoadable, ModelRunFailed
from apps.agents.measuring import peak_memory
from apps.agents.sandbox.programs import Ended
from tests.agents import graphs

ONE = {"x": np.ones((1, 4), np.float32)}


def test_a_session_runs_from_a_file_and_from_bytes(tmp_path: Path) -> None:
    model = graphs.perceptron()
    path = graphs.save(model, tmp_path / "m.onnx")
    (from_file,) = runtime.run(runtime.open_session(path), ONE)
    (from_bytes,) = runtime.run(runtime.open_session(model.SerializeToString()), ONE, ["y"])
    np.testing.assert_array_equal(from_file, from_bytes)


def test_a_session_has_the_threads_it_was_given() -> None:
    session = runtime.open_session(graphs.perceptron().SerializeToString(), threads=2)
    assert session.get_session_options().intra_op_num_threads == 2
    assert session.get_session_options().inter_op_num_threads == 1


def test_a_device_that_is_not_here_is_named() -> None:
    if "CUDAExecutionProvider" in runtime.ort.get_available_providers():
        pytest.skip("this runtime has CUDA")
    with pytest.raises(DeviceMissing, match="cuda"):
        runtime.open_session(graphs.perceptron().SerializeToString(), device=Device.CUDA)


def test_a_model_that_does_not_load_says_why() -> None:
    with pytest.raises(ModelNotLoadable, match="Sharpen"):
        runtime.open_session(graphs.with_custom_operator().SerializeToString())


@pytest.mark.parametrize("feeds", [{}, {"x": np.ones((1, 9), np.float32)}, {"x": np.ones((1, 4), np.int8)}])
def test_a_run_that_fails_says_why(feeds: runtime.Feeds) -> None:
    session = runtime.open_session(graphs.perceptron().SerializeToString())
    with pytest.raises(ModelRunFailed) as caught:
        runtime.run(session, feeds)
    assert "onnxruntime_src" not in caught.value.message


def test_the_memory_probe_starts_where_its_module_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the checkout itself: a worker whose package is not installed measures, too."""
    started: list[Path] = []
    run = peak_memory.run_to_end

    def watched(command: list[str], *, folder: Path, limit_s: float) -> Ended:
        started.append(folder)
        return run(command, folder=folder, limit_s=limit_s)

    monkeypatch.setattr(peak_memory, "run_to_end", watched)
    runtime.peak_memory(graphs.save(graphs.perceptron(), tmp_path / "m.onnx"), ONE, Target(), runs=1)
    assert (started[0] / "apps" / "agents" / "backends" / "onnx" / "memory_probe.py").is_file()


def test_peak_memory_grows_with_the_weights(tmp_path: Path) -> None:
    """40 MB of weights take at least that, and the small model next to nothing."""
    weights = {"w": np.zeros((4, 2_500_000), np.float32)}
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("ReduceMean", ["h"], ["y"], axes=[1])]
    large = graphs.model_of(nodes, [graphs.value("x", "N", 4)], [graphs.value("y", "N", 1)], weights)
    used = [
        runtime.peak_memory(graphs.save(model, tmp_path / "m.onnx"), ONE, Target(), runs=1)
        for model in (graphs.perceptron(), large)
    ]
    assert used[0] < 30e6
    assert used[1] > used[0] + 40e6


def test_memory_of_a_model_that_fails_is_a_failure_of_the_run(tmp_path: Path) -> None:
    path = graphs.save(graphs.perceptron(), tmp_path / "m.onnx")
    with pytest.raises(ModelRunFailed, match="memory"):
        runtime.peak_memory(path, {"x": np.ones((1, 9), np.float32)}, Target())


def test_text_inputs_are_run_too() -> None:
    nodes = [helper.make_node("Identity", ["s"], ["t"])]
    ends = [graphs.value(name, "N", dtype=TensorProto.STRING) for name in ("s", "t")]
    session = runtime.open_session(graphs.model_of(nodes, ends[:1], ends[1:]).SerializeToString())
    assert runtime.run(session, {"s": np.array(["a", "b"], object)})[0].tolist() == ["a", "b"]


def test_a_session_that_would_silently_compute_on_the_cpu_is_refused(monkeypatch: pytest.MonkeyPatch):
    """As the build for accelerators does if it cannot load CUDA's libraries: it offers the provider and drops it."""
    monkeypatch.setattr(
        runtime.ort, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    monkeypatch.setattr(runtime.ort, "preload_dlls", lambda: None)
    with pytest.raises(DeviceMissing, match="only CPUExecutionProvider"):
        runtime.open_session(graphs.perceptron().SerializeToString(), device=Device.CUDA)
