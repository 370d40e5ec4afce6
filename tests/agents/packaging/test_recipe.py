"""A recipe is followed in real child processes and gives the same bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.errors.techniques import RecipeInvalid
from apps.agents.contracts.state import StepRequest
from apps.agents.contracts.step_jobs import StepFacts, job_for
from apps.agents.files.digest import digest_of
from apps.agents.packaging import reproducing
from apps.agents.packaging.reproducing import NOT_FOLLOWED, OTHER, SAME, differing_libraries, follow, read_recipe
from apps.agents.sandbox.process import JobFailed, run_job
from tests.agents.workshop import DEPTHWISE, FASHION, RESNET

ROOT = Path(__file__).resolve().parents[3]
DATASET = {"kind": "npz", "task": "classification"}
CHAIN = (("onnx-graph", {}), ("onnx-static-int8", {"calibration_examples": 32}))


def made_by_worker(
    folder: Path, technique: str, parameters: dict[str, Any], model: Path
) -> tuple[Path, dict[str, Any]]:
    """The artifact and the recipe's record of one step, as the pipeline makes them."""
    scratch = folder / technique
    scratch.mkdir()
    step = {"key": technique, "kind": "optimize", "queue": "cpu", "reason": "Because."}
    request = StepRequest.model_validate({**step, "technique": technique, "parameters": parameters})
    read = DatasetSpec.model_validate(DATASET)
    facts = StepFacts(seed=7, original_format="onnx", format="onnx", dataset=read)
    inputs = {"model": model, "original": RESNET, "dataset": FASHION}
    job = job_for(request, facts, scratch=scratch, inputs=inputs)
    result = run_job(job, on_event=lambda event: None, should_stop=lambda: False)
    artifact = scratch / result.files[0].path
    assert result.files[0].role == "artifact"
    assert result.body["digest"] == digest_of(artifact)
    return artifact, {
        "key": technique,
        "technique": technique,
        "parameters": result.body["parameters"],
        "libraries": result.body["libraries"],
        "seed": result.body["seed"],
        "batch_divisor": 1,
        "made": record(artifact),
    }


def record(file: Path) -> dict[str, Any]:
    return {"filename": file.name, "sha256": digest_of(file), "size_bytes": file.stat().st_size}


@pytest.fixture(scope="module")
def written() -> Iterator[dict[str, Any]]:
    """What a session's package holds: a chain of two steps, the machine and the session's own notes."""
    with tempfile.TemporaryDirectory() as folder:
        current, steps = RESNET, []
        for technique, parameters in CHAIN:
            current, step = made_by_worker(Path(folder), technique, parameters, current)
            steps.append(step)
        yield {
            "recipe_version": 1,
            "session": "6d0b0d3e",
            "seed": 7,
            "criteria": {"target": {"device": "cpu", "threads": 1}},
            "original": {**record(RESNET), "format": "onnx"},
            "dataset": {**record(FASHION), "name": "Fashion", "spec": DATASET},
            "steps": steps,
            "artifact": record(current),
            "machine": None,
            "verdict": {"outcome": "improved"},
        }


@pytest.fixture
def file(written: dict[str, Any], tmp_path: Path) -> Path:
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(written))
    return path


def changed(file: Path, **parts: Any) -> Path:
    file.write_text(json.dumps({**json.loads(file.read_text()), **parts}))
    return file


def test_following_a_recipe_gives_the_same_bytes(file: Path, tmp_path: Path):
    out = tmp_path / "again.onnx"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "apps.agents.recipe", str(file), "--model", str(RESNET)),
            *("--dataset", str(FASHION), "--out", str(out)),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.count("Not followed")) == (SAME, 0), done.stderr
    assert digest_of(out) == json.loads(file.read_text())["artifact"]["sha256"]
    assert "The same bytes" in done.stdout


def test_other_bytes_are_told_with_the_versions_that_differ(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """The same steps, except that the recipe claims another version and another calibration than it was made with."""
    steps = json.loads(file.read_text())["steps"]
    steps[1]["parameters"]["calibration_examples"] = 16
    steps[1]["libraries"]["onnxruntime"] = "1.0.0"
    changed(file, steps=steps)
    arguments = [str(file), "--model", str(RESNET), "--dataset", str(FASHION), "--out", str(tmp_path / "other.onnx")]
    assert reproducing.main(arguments) == OTHER
    told = capsys.readouterr().out
    assert "Other bytes" in told
    assert "onnxruntime 1.0.0, here " in told


def test_a_library_that_is_gone_differs_too(file: Path):
    steps = json.loads(file.read_text())["steps"]
    steps[0]["libraries"] = {"gone": "2.0"}
    steps[1]["libraries"] = {}
    assert differing_libraries(read_recipe(changed(file, steps=steps))) == ("gone 2.0, here none",)


@pytest.mark.parametrize(
    ("model", "dataset", "words"),
    [
        (DEPTHWISE, FASHION, "the original at .* is another file"),
        (RESNET, RESNET, "the data set at .* is another file"),
        (Path("nowhere.onnx"), FASHION, "there is no original at nowhere.onnx"),
    ],
)
def test_other_files_than_the_recipes_are_refused(file: Path, tmp_path: Path, model: Path, dataset: Path, words: str):
    with pytest.raises(RecipeInvalid, match=words):
        follow(read_recipe(file), model, dataset, tmp_path / "out.onnx", lambda event: None)


def test_a_recipe_of_an_original_that_stands_has_nothing_to_make(file: Path, tmp_path: Path):
    nothing = read_recipe(changed(file, steps=[], artifact=None))
    with pytest.raises(RecipeInvalid, match="kept unchanged"):
        follow(nothing, RESNET, FASHION, tmp_path / "out.onnx", lambda event: None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no json", "the file: Invalid JSON"),
        ('{"recipe_version": 3}', "recipe_version"),
        ('{"recipe_version": 1, "seed": 0}', "original"),
    ],
)
def test_a_broken_recipe_is_refused_with_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
):
    path = tmp_path / "recipe.json"
    path.write_text(text)
    with pytest.raises(RecipeInvalid, match=words):
        read_recipe(path)
    assert reproducing.main([str(path), "--model", "a", "--dataset", "b", "--out", "c"]) == NOT_FOLLOWED
    assert words in capsys.readouterr().err


def test_a_step_that_fails_is_told(file: Path, tmp_path: Path):
    steps = json.loads(file.read_text())["steps"]
    steps[0]["technique"] = "onnx-magic"
    with pytest.raises(JobFailed) as caught:
        follow(read_recipe(changed(file, steps=steps)), RESNET, FASHION, tmp_path / "o", lambda event: None)
    assert caught.value.code == "technique.unknown"
