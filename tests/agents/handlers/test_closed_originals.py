"""A step that does not run the original does not open it: loading its libraries would take longer than the step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.formats import Format
from apps.agents.contracts.job import Job, JobResult
from apps.agents.contracts.reports.model import Interface, TensorSpec
from apps.agents.contracts.state import StepKind, StepRequest
from apps.agents.contracts.step_jobs import StepFacts, job_for
from apps.agents.sandbox.process import JobFailed, run_job
from tests.agents import graphs

DATA = DatasetSpec.model_validate({"kind": "npz", "task": "fidelity"})
PERCEPTRON = Interface(
    inputs=(TensorSpec(name="x", dtype="float32", shape=("N", 4)),),
    outputs=(TensorSpec(name="y", dtype="float32", shape=("N", 3)),),
)
"""What a PyTorch program takes and gives that was exported to `graphs.perceptron`."""


def carry_out(kind: StepKind, folder: Path, **changes: Any) -> JobResult:
    """A step on an ONNX file that was exported from a PyTorch program, which lies nowhere."""
    graphs.save(graphs.perceptron(), folder / "export.onnx")
    np.savez(folder / "data.npz", x=graphs.rng().normal(size=(80, 4)).astype(np.float32))
    usual: dict[str, Any] = {
        "seed": 7,
        "original_format": Format.TORCH_EXPORT,
        "format": Format.ONNX,
        "criteria": Criteria(),
        "dataset": DATA,
        "original_interface": PERCEPTRON,
    }
    request = StepRequest(
        key="one", kind=kind, queue="cpu", reason="Because.", technique="onnx-dynamic-int8", parameters={}
    )
    inputs = {"original": folder / "gone.pt2", "model": folder / "export.onnx", "dataset": folder / "data.npz"}
    (scratch := folder / "scratch").mkdir()
    job: Job = job_for(request, StepFacts.model_validate(usual | changes), scratch=scratch, inputs=inputs)
    return run_job(job, on_event=lambda event: None, should_stop=lambda: False)


@pytest.mark.parametrize("kind", [StepKind.ANALYSE, StepKind.OPTIMIZE])
def test_a_step_on_an_export_does_without_the_original(kind: StepKind, tmp_path: Path) -> None:
    assert carry_out(kind, tmp_path).body["model"]["format"] == Format.ONNX


def test_the_data_set_is_read_as_the_original_takes_it(tmp_path: Path) -> None:
    other = PERCEPTRON.inputs[0].model_copy(update={"shape": ("N", 5)})
    with pytest.raises(JobFailed, match=r"x: float32\[N, 5\]"):
        carry_out(StepKind.OPTIMIZE, tmp_path, original_interface=PERCEPTRON.model_copy(update={"inputs": (other,)}))


def test_where_nothing_is_known_of_the_original_it_is_asked(tmp_path: Path) -> None:
    with pytest.raises(JobFailed, match=r"gone\.pt2"):
        carry_out(StepKind.OPTIMIZE, tmp_path, original_interface=None)
