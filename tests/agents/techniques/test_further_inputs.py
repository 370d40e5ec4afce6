"""A technique that reads a second model: its spec names the role, its agent opens the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from pydantic import ValidationError

from apps.agents.backends.onnx import files
from apps.agents.backends.onnx.saving import save_artifact
from apps.agents.contracts.chain import MODEL, ORIGINAL, STUDENT
from apps.agents.contracts.context import Context
from apps.agents.contracts.errors.techniques import RecipeInvalid, TechniqueInputs
from apps.agents.contracts.job import Job, JobResult
from apps.agents.contracts.reports.recipe import Recipe
from apps.agents.files.digest import digest_of
from apps.agents.handlers import optimize
from apps.agents.packaging import reproducing
from apps.agents.planning.chains import application_of
from apps.agents.techniques import base
from apps.agents.techniques.base import Applied, Assignment, BaseOptimizationAgent
from apps.agents.techniques.catalogue import Expectation, Family, Risk, TechniqueSpec, catalogue
from tests.agents.told import Told
from tests.agents.workshop import FASHION, RESNET

DATASET = {"kind": "npz", "task": "classification"}


class Average(BaseOptimizationAgent):
    """Moves each weight half-way to the teacher's."""

    def apply(self, assignment: Assignment, context: Context) -> Applied:
        proto = files.load_proto(files.open_model(assignment.model, assignment.scratch))
        teacher = assignment.further_inputs["teacher"]
        taught = {one.name: numpy_helper.to_array(one) for one in onnx.load(teacher.path).graph.initializer}
        for tensor in proto.graph.initializer:
            weights = numpy_helper.to_array(tensor)
            if weights.dtype == np.float32 and tensor.name in taught:
                mean = (weights + taught[tensor.name]) / 2
                tensor.CopyFrom(numpy_helper.from_array(mean.astype(np.float32), tensor.name))
        return Applied(save_artifact(proto, assignment.out), {"teacher_format": teacher.format})


class Louder(BaseOptimizationAgent):
    """Makes each weight a tenth larger."""

    def apply(self, assignment: Assignment, context: Context) -> Applied:
        return Applied(scaled(assignment.out / "model.onnx", 1.1))


def spec(name: str, *inputs: str) -> TechniqueSpec:
    return TechniqueSpec(
        name=name.lower(),
        family=Family.DISTILLATION,
        label=name,
        summary="Other weights.",
        formats=("onnx",),
        output_format=None,
        requires=("onnx",),
        inputs=inputs,
        expectation=Expectation(size_ratio=1.0, speedup=1.0, metric_drop_points=0.0, risk=Risk.LOW),
        reference="made up",
        implementation=f"{__name__}:{name}",
    )


AVERAGE, LOUDER = spec("Average", "teacher"), spec("Louder")


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "catalogue", lambda: {**catalogue(), **{one.name: one for one in (AVERAGE, LOUDER)}})


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    """The same network with weights a tenth larger."""
    return scaled(tmp_path / "teacher.onnx", 1.1)


def scaled(path: Path, factor: float) -> Path:
    proto = onnx.load(RESNET)
    for tensor in proto.graph.initializer:
        weights = numpy_helper.to_array(tensor)
        if weights.dtype == np.float32:
            tensor.CopyFrom(numpy_helper.from_array((weights * np.float32(factor)), tensor.name))
    onnx.save(proto, path)
    return path


def loudness(path: Path) -> float:
    """The mean of the absolute weights of the largest tensor."""
    weights = [numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer]
    return float(np.abs(max(weights, key=np.size)).mean())


def run(job: Job, **more: Any) -> JobResult:
    told = Told(job)
    return optimize.run(told)  # type: ignore[arg-type]


def job(scratch: Path, inputs: dict[str, str], **models: Path) -> Job:
    scratch.mkdir()
    arguments = {"technique": AVERAGE.name, "dataset": DATASET, "original_format": "onnx", "format": "onnx"}
    return Job(
        handler="apps.agents.handlers.optimize:run",
        scratch=scratch,
        inputs={"model": RESNET, "original": RESNET, "dataset": FASHION, **models},
        arguments={**arguments, "inputs": inputs},
    )


def test_the_second_model_reaches_the_technique_by_its_role_with_its_format(tmp_path: Path, teacher: Path):
    asked = job(tmp_path / "job", {"teacher": "onnx"}, teacher=teacher)

    result = run(asked)

    assert result.body["evidence"] == {"teacher_format": "onnx"}
    assert loudness(asked.scratch / result.files[0].path) == pytest.approx(loudness(RESNET) * 1.05, rel=1e-4)


@pytest.mark.parametrize(("inputs", "named"), [({}, "none"), ({"teacher": "onnx", "aunt": "onnx"}, "aunt, teacher")])
def test_other_inputs_than_the_spec_names_are_refused(
    tmp_path: Path, teacher: Path, inputs: dict[str, str], named: str
):
    with pytest.raises(TechniqueInputs, match=f"that it changes: teacher. The step names {named}."):
        run(job(tmp_path / "job", inputs, teacher=teacher, aunt=teacher))


def test_a_technique_without_further_inputs_refuses_one(tmp_path: Path, teacher: Path):
    asked = job(tmp_path / "job", {"teacher": "onnx"}, teacher=teacher)
    with pytest.raises(TechniqueInputs, match=r"that it changes: none\. The step names teacher\."):
        run(asked.model_copy(update={"arguments": {**asked.arguments, "technique": "onnx-float16"}}))


def test_a_plan_gives_a_technique_the_original_for_each_role_it_names():
    assert application_of(AVERAGE, {}).inputs == {"teacher": ()}
    assert application_of(catalogue()["onnx-float16"], {}).inputs == {}


@pytest.mark.parametrize("role", ["model", "original", "dataset", "checkpoint"])
def test_a_role_that_every_job_has_cannot_be_one_of_a_technique(role: str):
    with pytest.raises(ValidationError, match=f"inputs: {role} is given to every technique"):
        spec("Average", "teacher", role)


# --- recipes ---------------------------------------------------------------------------------------------------------


def written(*steps: dict[str, Any], digest: str) -> Recipe:
    return Recipe.model_validate(
        {
            "recipe_version": 2,
            "seed": 0,
            "original": {"sha256": digest_of(RESNET), "size_bytes": 1, "format": "onnx"},
            "dataset": {"sha256": digest_of(FASHION), "spec": DATASET},
            "steps": [{"technique": AVERAGE.name, "parameters": {}, **step} for step in steps],
            "artifact": {"sha256": digest, "size_bytes": 1},
        }
    )


def test_a_recipe_with_a_second_input_is_followed_in_its_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reproducing, "run_job", run)
    louder = {"technique": LOUDER.name, "key": "louder", "inputs": {MODEL: ORIGINAL}}
    last = {"key": "last", "inputs": {MODEL: ORIGINAL, "teacher": "louder"}}

    asked = written(louder, last, digest="0" * 64)
    reproducing.follow(asked, RESNET, FASHION, tmp_path / "out.onnx", lambda event: None)

    assert loudness(tmp_path / "out.onnx") == pytest.approx(loudness(RESNET) * 1.05, rel=1e-4)


def test_a_recipe_with_a_student_is_followed_with_its_file(
    tmp_path: Path, teacher: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(reproducing, "run_job", run)
    asked = written({"key": "c01", "inputs": {MODEL: ORIGINAL, "teacher": STUDENT}}, digest="0" * 64)
    given = {"sha256": digest_of(teacher), "size_bytes": 1, "format": "onnx"}
    asked = Recipe.model_validate({**asked.model_dump(mode="json"), "student": given})
    out = tmp_path / "out.onnx"

    reproducing.follow(asked, RESNET, FASHION, out, lambda event: None, teacher)

    assert loudness(out) == pytest.approx(loudness(RESNET) * 1.05, rel=1e-4)
    with pytest.raises(RecipeInvalid, match="name its file as --student"):
        reproducing.follow(asked, RESNET, FASHION, out, lambda event: None)
    with pytest.raises(RecipeInvalid, match=r"the student at .* is another file"):
        reproducing.follow(asked, RESNET, FASHION, out, lambda event: None, RESNET)


def test_a_recipe_whose_step_reads_what_no_step_before_made_is_refused(tmp_path: Path):
    early = written({"key": "c01", "inputs": {MODEL: ORIGINAL, "teacher": "later"}}, digest="0" * 64)
    with pytest.raises(RecipeInvalid, match="'later' made, and no step before it has that key"):
        reproducing.follow(early, RESNET, FASHION, tmp_path / "out.onnx", lambda event: None)
