"""The job of an optimize step."""

from __future__ import annotations

import numpy as np

from apps.agents.child import JobContext
from apps.agents.handlers.material import Material
from apps.agents.job import JobResult, OutputFile
from apps.agents.optimization import Assignment, agent_for, spec_of


def run(context: JobContext) -> JobResult:
    """Apply one technique; the result's body is an `OptimizationResult`, the file of the role `artifact` the model.

    Inputs and arguments of `Material`; `technique`; `parameters`, those that differ from the defaults;
    `batch_divisor`, how many times smaller batches are to be.
    """
    job = context.job
    np.random.seed(job.seed)  # What libraries draw from.
    spec, parameters = spec_of(job.arguments["technique"], job.arguments.get("parameters", {}))
    agent = agent_for(spec)
    material = Material(job)
    assignment = Assignment(
        spec=spec,
        parameters=parameters,
        model=material.model,
        dataset=material.dataset,
        scratch=material.scratch,
        out=context.out,
        seed=job.seed,
        threads=job.threads,
        batch_divisor=int(job.arguments.get("batch_divisor", 1)),
        format=material.format,
        encoder=material.original.encoder,
        signature=material.signature,
    )
    made = agent.run(assignment, context)
    artifact = made.artifact.relative_to(job.scratch).as_posix()
    file = OutputFile(role="artifact", path=artifact, filename=made.artifact.name)
    return JobResult(body=made.result.model_dump(mode="json"), files=(file,))
