"""The package: complete, the same bytes every time, and its script really runs the model and checks what it gives."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper

from apps.agents.contracts.dataset_spec import DatasetKind, DatasetSpec
from apps.agents.contracts.job import Job
from apps.agents.contracts.reports.dataset import Task
from apps.agents.contracts.reports.recipe import Recipe
from apps.agents.contracts.state import Outcome
from apps.agents.datasets.loading import load_dataset
from apps.agents.measuring.engine import open_engine
from apps.agents.packaging import package
from apps.agents.packaging.examples import MOST_BYTES, PackageExamples, drawn_like, package_examples
from apps.agents.packaging.package import Content, Packed, build_package
from apps.agents.packaging.script import differences, flat, thinned
from apps.agents.sandbox.process import run_job
from tests.agents import graphs
from tests.agents.cards import card

DOCUMENTS = ("report_html", "report_json", "recipe")
DIGEST = "0" * 64
RECIPE = Recipe.model_validate(
    {
        "seed": 0,
        "original": {"sha256": DIGEST, "size_bytes": 1, "format": "onnx"},
        "student": {"sha256": DIGEST, "size_bytes": 1, "format": "onnx", "filename": "small.onnx"},
        "dataset": {"sha256": DIGEST, "spec": {"kind": "npz", "task": "fidelity"}},
        "steps": [],
        "artifact": {"sha256": DIGEST, "size_bytes": 1},
    }
)
ROWS = 60
Documents = dict[str, Path]


@pytest.fixture
def documents(tmp_path: Path) -> Documents:
    paths = {role: tmp_path / role for role in DOCUMENTS}
    for role, path in paths.items():
        path.write_text(f"the {role}")
    paths["recipe"].write_text(RECIPE.model_dump_json())
    return paths


@pytest.fixture
def delivered(documents: Documents, tmp_path: Path) -> Documents:
    """The documents as the pipeline gives them to the step."""
    path = tmp_path / "card"
    path.write_text(card().model_dump_json())
    return {**documents, "card": path}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return graphs.save(graphs.perceptron(), tmp_path / "stored-by-digest")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.npz"
    np.savez(path, x=graphs.rng().normal(size=(ROWS, 4)).astype(np.float32))
    return path


def spec(**changes: Any) -> DatasetSpec:
    return DatasetSpec(kind=DatasetKind.NPZ, task=Task.FIDELITY, **changes)


def examples(model: Path, data: Path, scratch: Path, **changes: Any) -> PackageExamples:
    scratch.mkdir()
    engine = open_engine("onnx", model, scratch)
    dataset = load_dataset(data, spec(**changes), engine.summary.inputs, 7, scratch=scratch)
    return package_examples(engine, dataset, 1, 7)


def built(content: Content, folder: Path) -> Packed:
    (folder / "work").mkdir(parents=True)
    (folder / "out").mkdir()
    return build_package(content, folder / "work", folder / "out")


def unpacked(packed: Packed, folder: Path) -> Path:
    with zipfile.ZipFile(packed.path) as archive:
        archive.extractall(folder)
    return folder


def run(package: Path, *arguments: str, status: int = 0) -> str:
    """What the script says in a bare folder, with nothing of Lathe on its path."""
    command = [sys.executable, "-I", str(package / "run.py"), *arguments]
    done = subprocess.run(command, cwd=package.parent, capture_output=True, text=True, check=False, env={**os.environ})
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def content(model: Path, data: Path, documents: Documents, tmp_path: Path) -> Content:
    return Content(model, "net.onnx", "onnx", documents, card(), examples(model, data, tmp_path / "looked"))


def repetitive(path: Path) -> Path:
    """A product with a weight of few values, which Zstandard packs better than DEFLATE."""
    weight = np.random.default_rng(0).integers(-8, 8, (256, 256)).astype(np.float32) / 7
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 256])
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 256])
    graph = helper.make_graph(nodes, "g", [given], [made], [onnx.numpy_helper.from_array(weight, "w")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def test_where_the_download_counts_the_model_is_packed_smaller_and_restored_bit_for_bit(
    documents: Documents, tmp_path: Path
) -> None:
    model, data = repetitive(tmp_path / "stored"), tmp_path / "wide.npz"
    np.savez(data, x=np.random.default_rng(1).normal(size=(ROWS, 256)).astype(np.float32))
    plain = Content(model, "net.onnx", "onnx", documents, card(), examples(model, data, tmp_path / "looked"))
    small = built(replace(plain, compressed=True), tmp_path / "a")
    assert small.finding is None
    folder = unpacked(small, tmp_path / "unpacked")
    assert not (folder / "net.onnx").exists()
    assert small.path.stat().st_size < 0.95 * built(plain, tmp_path / "b").path.stat().st_size
    readme = (folder / "README.txt").read_text()
    assert f"net.onnx.zst is net.onnx in Zstandard: {(folder / 'net.onnx.zst').stat().st_size:,} bytes" in readme
    assert "zstandard==" in (folder / "requirements.txt").read_text()
    assert "The same outputs as were measured" in run(folder)
    assert (folder / "net.onnx").read_bytes() == model.read_bytes()


def test_what_zstandard_does_not_make_smaller_stays_as_it_is(content: Content, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).bytes(4096)
    with zipfile.ZipFile(tmp_path / "zipped", "w") as archive:
        archive.write(content.model, "net.onnx")
        archive.writestr("noise.bin", noise)
    packed = built(replace(content, model=tmp_path / "zipped", compressed=True), tmp_path / "a")
    with zipfile.ZipFile(packed.path) as archive:
        assert archive.read("model/noise.bin") == noise
        assert "model/noise.bin.zst" not in archive.namelist()


def test_a_package_holds_all_it_promises(content: Content, tmp_path: Path) -> None:
    packed = built(content, tmp_path / "a")
    with zipfile.ZipFile(packed.path) as archive:
        names = set(archive.namelist())
        readme = archive.read("README.txt").decode()
        assert archive.read("net.onnx") == content.model.read_bytes()
        assert Recipe.model_validate_json(archive.read("recipe.json")) == RECIPE
    documents = {"README.txt", "MODEL_CARD.md", "evidence.cdx.json", "recipe.json", "report.html", "report.json"}
    assert names == documents | {
        *("net.onnx", "run.py", "runtime.py", "requirements.txt", "examples.npz", "expected.npz")
    }
    assert packed.finding is None
    assert readme.startswith("An optimized model, ")
    assert "onnxruntime==" in readme
    assert "  net.onnx\n" in readme
    assert "4 examples of the data set" in readme


@pytest.mark.parametrize("student", [None, "small.pt2"])
def test_the_readme_s_command_names_the_student_if_the_recipe_needs_one(
    content: Content, tmp_path: Path, student: str | None
) -> None:
    packed = built(replace(content, student=student, untried="there is no need to"), tmp_path / "a")
    with zipfile.ZipFile(packed.path) as archive:
        readme = archive.read("README.txt").decode()
    assert ("--out MODEL --student STUDENT\n" in readme) == (student is not None)
    assert ("small.pt2" in readme) == (student is not None)


def test_the_same_contents_give_the_same_bytes(content: Content, tmp_path: Path) -> None:
    first = built(content, tmp_path / "a").path.read_bytes()
    assert built(content, tmp_path / "b").path.read_bytes() == first


def test_the_script_checks_itself_times_itself_and_takes_a_members_own(content: Content, tmp_path: Path) -> None:
    package = unpacked(built(content, tmp_path / "a"), tmp_path / "bare")
    told = run(package, "--bench", "--threads", "2")
    assert told.startswith("y  float32  (4, 3)")
    assert "p50 " in told
    assert "2 threads" in told
    assert "The same outputs as were measured" in told
    np.savez(tmp_path / "mine.npz", anything=np.zeros((2, 4)))  # One input takes the only array, whatever its name.
    assert run(package, str(tmp_path / "mine.npz")).startswith("y  float32  (2, 3)")
    np.savez(tmp_path / "mine.npz", a=np.zeros(1), b=np.zeros(1))
    assert "does not have an array for x. The inputs are x" in run(package, str(tmp_path / "mine.npz"), status=1)


def test_other_outputs_than_were_measured_are_told(content: Content, tmp_path: Path) -> None:
    package = unpacked(built(content, tmp_path / "a"), tmp_path / "bare")
    np.savez(package / "expected.npz", y=np.load(package / "expected.npz")["y"] * 1.1)
    assert "Other outputs than were measured: y differs by up to" in run(package, status=1)


def test_a_missing_distribution_is_a_sentence(content: Content, tmp_path: Path) -> None:
    package = unpacked(built(content, tmp_path / "a"), tmp_path / "bare")
    runtime = package / "runtime.py"
    runtime.write_text(runtime.read_text().replace("import onnxruntime", "import onnxruntime_that_nobody_has"))
    told = run(package, status=2)
    assert told.startswith("onnxruntime_that_nobody_has cannot be imported here. This model needs numpy==")
    assert "Traceback" not in told


def test_a_model_with_external_data_is_unpacked(documents: Documents, tmp_path: Path, data: Path) -> None:
    (tmp_path / "loose").mkdir()
    stored = graphs.save_external(graphs.perceptron(), tmp_path / "loose")
    zipped = tmp_path / "blob"
    with zipfile.ZipFile(zipped, "w") as archive:
        for file in sorted(stored.parent.iterdir()):
            archive.write(file, file.name)
    packed = built(Content(zipped, "model.zip", "onnx", documents, card()), tmp_path / "a")
    with zipfile.ZipFile(packed.path) as archive:
        assert {f"model/{stored.name}", "model/weights.bin"} <= set(archive.namelist())


# --- what cannot be tried ---------------------------------------------------------------------------------------------


def test_a_package_whose_script_fails_is_handed_over_with_the_finding(content: Content, tmp_path: Path) -> None:
    proto = graphs.perceptron()
    proto.graph.node[0].op_type = "NoSuchOperator"
    broken = Content(
        graphs.save(proto, tmp_path / "broken"),
        "net.onnx",
        "onnx",
        content.documents,
        content.card,
        content.examples,
        outcome=Outcome.UNCHANGED,
    )
    packed = built(broken, tmp_path / "a")
    assert packed.finding is not None
    assert "NoSuchOperator" in packed.finding
    readme = (unpacked(packed, tmp_path / "bare") / "README.txt").read_text()
    assert readme.startswith("The original model, unchanged")
    assert packed.finding in readme


@pytest.mark.parametrize(
    ("outcome", "opening"),
    [
        (Outcome.NOT_MEASURED, "The original model. No candidate was measured"),
        (Outcome.INCONCLUSIVE, "The original model. A candidate may be better, but the machine was too busy"),
    ],
)
def test_the_package_of_an_undecided_session_says_that_nothing_is_known(
    content: Content, tmp_path: Path, outcome: Outcome, opening: str
) -> None:
    packed = built(replace(content, outcome=outcome, untried="there is no need to"), tmp_path / "a")
    with zipfile.ZipFile(packed.path) as archive:
        assert archive.read("README.txt").decode().startswith(opening)


def test_a_script_that_does_not_end_is_stopped(
    content: Content, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package, "CHECK_TIMEOUT_S", 0.01)
    assert built(content, tmp_path / "a").finding == "its script took more than 0 s"


def test_without_examples_the_script_asks_for_some(model: Path, documents: Documents, tmp_path: Path) -> None:
    packed = built(Content(model, "net.onnx", "onnx", documents, card()), tmp_path / "a")
    assert packed.finding == "there are no examples to try it on"
    told = run(unpacked(packed, tmp_path / "bare"), status=1)
    assert "Give a file with one array for each input: x." in told


def drawing() -> ModelProto:
    nodes = [
        helper.make_node("RandomNormalLike", ["x"], ["noise"], name="noise"),
        helper.make_node("Add", ["x", "noise"], ["y"], name="add"),
    ]
    return graphs.model_of(nodes, [graphs.value("x", "N", 4)], [graphs.value("y", "N", 4)], {})


def test_a_model_that_gives_nothing_twice_is_not_held_to_it(data: Path, tmp_path: Path, documents: Documents) -> None:
    model = graphs.save(drawing(), tmp_path / "noisy")
    made = examples(model, data, tmp_path / "looked")
    packed = built(Content(model, "net.onnx", "onnx", documents, card(), made), tmp_path / "a")
    assert packed.finding is not None
    assert "different outputs each time" in packed.finding
    assert "does not contain outputs to compare" in run(unpacked(packed, tmp_path / "bare"))


# --- examples ---------------------------------------------------------------------------------------------------------


def test_an_index_stays_an_index_and_free_axes_get_their_true_length(documents: Documents, tmp_path: Path) -> None:
    """Every axis is named free, and the graph takes indices below 50 in rows of 12."""
    weights = {
        "table": graphs.rng().normal(size=(50, 8)).astype(np.float32),
        "w": graphs.rng().normal(size=(96, 3)).astype(np.float32),
        "shape": np.array([0, 96], np.int64),
    }
    nodes = [
        helper.make_node("Gather", ["table", "tokens"], ["rows"], name="gather"),
        helper.make_node("Reshape", ["rows", "shape"], ["flat"], name="reshape"),
        helper.make_node("MatMul", ["flat", "w"], ["y"], name="product"),
    ]
    tokens = helper.make_tensor_value_info("tokens", TensorProto.INT64, ["batch", "length"])
    model = graphs.save(graphs.model_of(nodes, [tokens], [graphs.value("y", "batch", 3)], weights), tmp_path / "net")
    data = tmp_path / "tokens.npz"
    np.savez(data, tokens=graphs.rng().integers(1, 50, size=(ROWS, 12)))
    for own in (True, False):
        made = examples(model, data, tmp_path / f"looked-{own}", examples_may_leave=own)
        packed = built(Content(model, "net.onnx", "onnx", documents, card(), made), tmp_path / f"a-{own}")
        assert packed.finding is None
        stored = np.load(unpacked(packed, tmp_path / f"bare-{own}") / "examples.npz")["tokens"]
        assert stored.shape == (4, 12)
        assert stored.min() >= 1
        assert stored.max() < 50
        kept = np.load(data)["tokens"]
        assert own is all((row == kept).all(1).any() for row in stored)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "uint64", "float32", "float16", "bool"])
def test_drawn_numbers_lie_in_the_range_of_those_they_are_like(dtype: str) -> None:
    random = np.random.default_rng(1)
    limits = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else None
    low, high = (limits.min, limits.max) if limits else (0, 2) if dtype == "bool" else (-3, 9)
    sample = random.uniform(low, high, (30, 5)).astype(dtype)
    sample[:, 4] = sample[0, 4]
    drawn = drawn_like({"x": sample}, 200, 3)["x"]
    assert drawn.dtype == sample.dtype
    assert drawn.shape == (200, 5)
    assert (drawn >= sample.min(0)).all()
    assert (drawn <= sample.max(0)).all()


def test_of_texts_only_those_that_several_share_are_drawn() -> None:
    sample = np.array([["red", f"note {number} of a person"] for number in range(9)] + [["blue", "once"]], object)
    sample[3, 0] = "blue"
    drawn = drawn_like({"x": sample}, 50, 3)["x"]
    assert set(drawn[:, 0]) == {"red", "blue"}
    assert not set(drawn[:, 1]) & set(sample[:, 1])


def test_examples_are_as_many_as_fit_the_package(documents: Documents, tmp_path: Path) -> None:
    size = MOST_BYTES // 4 // 2
    nodes = [helper.make_node("ReduceMean", ["x"], ["y"], name="mean", keepdims=0, axes=[1])]
    proto = graphs.model_of(nodes, [graphs.value("x", "N", size)], [graphs.value("y", "N")], {})
    proto.opset_import[0].version = 13
    model = graphs.save(proto, tmp_path / "net")
    data = tmp_path / "wide.npz"
    np.savez(data, x=np.ones((20, size), np.float32))
    made = examples(model, data, tmp_path / "looked")
    assert (made.rows, made.carried) == (2, True)


# --- outputs ----------------------------------------------------------------------------------------------------------


def test_sequences_and_maps_become_arrays() -> None:
    rows = [{0: 0.25, 1: 0.75}, {0: 0.5, 1: 0.5}]
    found = flat({"label": np.array(["a", "b"], object), "p": rows, "s": [np.zeros(2), np.ones((1, 3))], "none": None})
    assert list(found) == ["label", "p[0]", "p[1]", "s[0]", "s[1]"]
    assert found["p[1]"].tolist() == [0.75, 0.5]
    assert found["label"].dtype.kind == "U"


@pytest.mark.parametrize("most", [7, 100, 999, 1000, 10_000])
def test_thinned_outputs_are_compared_value_by_value(most: int) -> None:
    whole = np.random.default_rng(0).normal(size=(10, 100))
    kept = thinned(whole, most)
    assert kept.size <= most
    assert differences({"y": whole}, {"y": kept}) == []
    assert differences({"y": -whole}, {"y": kept})


def test_what_is_infinite_by_design_is_the_same() -> None:
    scores = np.array([[1.0, -np.inf, np.nan]])
    assert differences({"y": scores}, {"y": scores}) == []
    assert differences({"y": np.array([[1.0, 2.0, np.nan]])}, {"y": scores})


# --- the step ---------------------------------------------------------------------------------------------------------


def step(inputs: dict[str, Path], scratch: Path, **arguments: Any) -> tuple[dict[str, Any], Path]:
    scratch.mkdir()
    outcome = "unchanged" if inputs["model"] == inputs.get("original") else "improved"
    formats = {"original_format": "onnx", "format": "onnx"}
    read = {"criteria": {}, "dataset": spec().model_dump(mode="json")}
    given = {"filename": "net.onnx", "outcome": outcome, **formats, **read}
    job = Job(
        handler="apps.agents.handlers.package:run", scratch=scratch, inputs=inputs, arguments={**given, **arguments}
    )
    result = run_job(job, on_event=lambda event: None, should_stop=lambda: False)
    assert [file.role for file in result.files] == ["package"]
    return result.body, scratch / result.files[0].path


def test_the_package_step_hands_over_one_file(model: Path, data: Path, delivered: Documents, tmp_path: Path) -> None:
    body, package = step({"model": model, "original": model, "dataset": data, **delivered}, tmp_path / "scratch")
    assert package.stat().st_size == body["size_bytes"]
    assert body["finding"] is None
    with zipfile.ZipFile(package) as archive:
        assert "STUDENT is the model that was given to be trained, small.onnx" in archive.read("README.txt").decode()
        assert onnx.load_model_from_string(archive.read("net.onnx")).graph.name == "graph"
        assert archive.read("README.txt").startswith(b"The original model, unchanged")


def test_a_data_set_that_cannot_be_read_costs_no_package(model: Path, delivered: Documents, tmp_path: Path) -> None:
    other = tmp_path / "other.npz"
    np.savez(other, x=np.zeros((30, 9), np.float32))
    body, package = step({"model": model, "original": model, "dataset": other, **delivered}, tmp_path / "scratch")
    assert "no examples could be made for it" in body["finding"]
    assert package.exists()


def test_an_untried_package_does_not_open_the_model_that_took_the_step_down(
    data: Path, delivered: Documents, tmp_path: Path
) -> None:
    model = tmp_path / "net.keras"
    model.write_bytes(b"what ends the process that reads it")
    summary = open_engine("onnx", graphs.save(graphs.perceptron(), tmp_path / "net"), tmp_path).summary
    known = summary.model_copy(update={"format": "keras"}).model_dump(mode="json")
    body, package = step(
        {"model": model, "original": model, "dataset": data, **delivered},
        tmp_path / "scratch",
        format="keras",
        filename="net.keras",
        summary=known,
        untried="It was ended by SIGSEGV.",
    )
    assert body["finding"] == "It was ended by SIGSEGV"
    with zipfile.ZipFile(package) as archive:
        assert b'"name": "x"' in archive.read("inputs.json")
        assert "was not proven to run before it was delivered: It was" in archive.read("README.txt").decode()
