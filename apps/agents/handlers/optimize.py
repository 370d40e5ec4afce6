"""The job of an optimize step."""

from __future__ import annotations

import numpy as np

from apps.agents.child import JobContext
from apps.agents.dataset_spec import DatasetSpec
from apps.agents.datasets import load_dataset
from apps.agents.job import JobResult, OutputFile
from apps.agents.optimization import Assignment, agent_for, spec_of
from apps.agents.runners import open_engine


def run(context: JobContext) -> JobResult:
    """Apply one technique; the result's body is an `OptimizationResult`, the file of the role `artifact` the model.

    Inputs: `model` (or `original`), `dataset`. Arguments: `technique`; `parameters`, those that differ from the
    defaults; `dataset` (a `DatasetSpec`) as plain JSON; `batch_divisor`, how many times smaller batches are to be.
    """
    job = context.job
    np.random.seed(job.seed)  # What libraries draw from.
    spec, parameters = spec_of(job.arguments["technique"], job.arguments.get("parameters", {}))
    agent = agent_for(spec)
    scratch = job.scratch / "work"
    scratch.mkdir(exist_ok=True)
    model = job.inputs.get("model") or job.inputs["original"]
    inputs = open_engine(spec.formats[0], model, scratch).summary.inputs
    dataset_spec = DatasetSpec.model_validate(job.arguments["dataset"])
    assignment = Assignment(
        spec=spec,
        parameters=parameters,
        model=model,
        dataset=load_dataset(job.inputs["dataset"], dataset_spec, inputs, job.seed, scratch=scratch),
        scratch=scratch,
        out=context.out,
        seed=job.seed,
        threads=job.threads,
        batch_divisor=int(job.arguments.get("batch_divisor", 1)),
    )
    made = agent.run(assignment, context)
    artifact = made.artifact.relative_to(job.scratch).as_posix()
    file = OutputFile(role="artifact", path=artifact, filename=made.artifact.name)
    return JobResult(body=made.result.model_dump(mode="json"), files=(file,))
