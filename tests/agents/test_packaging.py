"""The package: complete, the same bytes every time, and its script really runs the model."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from apps.agents.errors import PackageBroken
from apps.agents.job import Job
from apps.agents.packaging import build_package
from apps.agents.process import run_job
from tests.agents import graphs

DOCUMENTS = ("report_html", "report_json", "recipe")


@pytest.fixture
def documents(tmp_path: Path) -> dict[str, Path]:
    paths = {role: tmp_path / role for role in DOCUMENTS}
    for role, path in paths.items():
        path.write_text(f"the {role}")
    return paths


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return graphs.save(graphs.perceptron(), tmp_path / "stored-by-digest")


def built(model: Path, documents: dict[str, Path], folder: Path, filename: str = "net.onnx") -> Path:
    (folder / "work").mkdir(parents=True)
    (folder / "out").mkdir()
    return build_package(model, filename, documents, "onnx", folder / "work", folder / "out")


def test_a_package_holds_all_it_promises(model: Path, documents: dict[str, Path], tmp_path: Path):
    with zipfile.ZipFile(built(model, documents, tmp_path / "a")) as archive:
        names = archive.namelist()
        readme = archive.read("README.txt").decode()
        assert archive.read("net.onnx") == model.read_bytes()
        assert archive.read("recipe.json") == b"the recipe"
    assert names == ["README.txt", "net.onnx", "recipe.json", "report.html", "report.json", "run.py"]
    assert "onnxruntime==" in readme
    assert "net.onnx  SHA-256 " in readme


def test_the_same_contents_give_the_same_bytes(model: Path, documents: dict[str, Path], tmp_path: Path):
    first = built(model, documents, tmp_path / "a").read_bytes()
    assert built(model, documents, tmp_path / "b").read_bytes() == first


def test_the_script_runs_the_model_on_a_members_own_examples(model: Path, documents: dict[str, Path], tmp_path: Path):
    with zipfile.ZipFile(built(model, documents, tmp_path / "a")) as archive:
        archive.extractall(tmp_path / "unpacked")
    np.savez(tmp_path / "mine.npz", x=np.zeros((2, 4), np.float32))
    command = [sys.executable, "run.py", str(tmp_path / "mine.npz")]
    done = subprocess.run(command, cwd=tmp_path / "unpacked", capture_output=True, text=True, check=True)
    assert done.stdout.startswith("y  float32  (2, 3)")


def test_a_model_with_external_data_is_unpacked(documents: dict[str, Path], tmp_path: Path):
    (tmp_path / "loose").mkdir()
    stored = graphs.save_external(graphs.perceptron(), tmp_path / "loose")
    zipped = tmp_path / "blob"
    with zipfile.ZipFile(zipped, "w") as archive:
        for file in sorted(stored.parent.iterdir()):
            archive.write(file, file.name)
    with zipfile.ZipFile(built(zipped, documents, tmp_path / "a", "model.zip")) as archive:
        assert {f"model/{stored.name}", "model/weights.bin"} <= set(archive.namelist())


def test_a_model_that_takes_no_single_element_is_tried_with_longer_axes(documents: dict[str, Path], tmp_path: Path):
    weights = {"w": np.ones((1, 1, 5), np.float32)}
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], name="conv")]
    inputs, outputs = [graphs.value("x", 1, 1, "T")], [graphs.value("y", 1, 1, "U")]
    proto = graphs.model_of(nodes, inputs, outputs, weights)
    assert built(graphs.save(proto, tmp_path / "audio"), documents, tmp_path / "a").exists()


def test_a_package_whose_script_fails_is_not_handed_over(documents: dict[str, Path], tmp_path: Path):
    proto = graphs.perceptron()
    proto.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(PackageBroken, match="NoSuchOperator"):
        built(graphs.save(proto, tmp_path / "broken"), documents, tmp_path / "a")
    assert list((tmp_path / "a" / "out").iterdir()) == []


def test_the_package_step_hands_over_one_file(model: Path, documents: dict[str, Path], tmp_path: Path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    inputs = {"model": model, "original": model, **documents}
    arguments = {"filename": "net.onnx", "format": "onnx", "criteria": {}}
    job = Job(handler="apps.agents.handlers.package:run", scratch=scratch, inputs=inputs, arguments=arguments)
    result = run_job(job, on_event=lambda event: None, should_stop=lambda: False)
    assert [file.role for file in result.files] == ["package"]
    package = scratch / result.files[0].path
    assert package.stat().st_size == result.body["size_bytes"]
    assert onnx.load_model_from_string(zipfile.ZipFile(package).read("net.onnx")).graph.name == "graph"
