"""The job of an optimize step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from apps.agents.analysis.agent import BATCH
from apps.agents.contracts.criteria import Target
from apps.agents.contracts.errors.techniques import TechniqueInputs
from apps.agents.contracts.job import JobResult, OutputFile
from apps.agents.contracts.job_arguments import OptimizeArguments
from apps.agents.contracts.searching import SUPERNET, Searched
from apps.agents.handlers.fault_attribution import blaming
from apps.agents.handlers.material import Material
from apps.agents.measuring.engine import fixed_batch, run_portions
from apps.agents.measuring.protocol import ModelFile
from apps.agents.sandbox.child import JobContext
from apps.agents.techniques.architecture.stages import SearchesInSteps
from apps.agents.techniques.base import Assignment, agent_for, spec_of
from apps.agents.techniques.catalogue import TechniqueSpec


def run(context: JobContext) -> JobResult:
    """Apply one technique. The result's body is an `OptimizationResult`, and its file with the role `artifact` is the
    model.

    The inputs are those of `Material` and one model for each role in the technique's spec. The arguments are
    `OptimizeArguments`.
    """
    job, arguments = context.job, OptimizeArguments.of(context.job)
    spec, _ = spec_of(arguments.technique, arguments.parameters)
    agent = agent_for(spec)
    if (supernet := job.inputs.get(SUPERNET)) is not None and isinstance(agent, SearchesInSteps):
        agent.going_on_from(Searched(file=supernet, so_far=arguments.so_far))
    with assigned(context, arguments) as assignment:
        made = agent.run(assignment, context)
    artifact = made.artifact.relative_to(job.scratch).as_posix()
    file = OutputFile(role="artifact", path=artifact, filename=made.artifact.name)
    return JobResult(body=made.result.model_dump(mode="json"), files=(file,))


@contextmanager
def assigned(context: JobContext, arguments: OptimizeArguments) -> Iterator[Assignment]:
    """What the job's technique is applied to. If it fails and the original does too, the original is blamed."""
    job, material = context.job, Material(context.job, arguments)
    np.random.seed(job.seed)  # Libraries draw from this generator.
    spec, parameters = spec_of(arguments.technique, arguments.parameters)
    assignment = Assignment(
        spec=spec,
        parameters=parameters,
        model=material.model,
        dataset=material.dataset,
        scratch=material.scratch,
        out=context.out,
        seed=job.seed,
        threads=job.threads,
        batch_divisor=arguments.batch_divisor,
        format=material.format,
        encoder=material.encoder,
        signature=material.signature,
        further_inputs=_further(material, spec, arguments.inputs),
    )
    with blaming(lambda: _rehearse(material, job.threads)):
        yield assignment


def _further(material: Material, spec: TechniqueSpec, formats: Mapping[str, str]) -> dict[str, ModelFile]:
    """The models of the further roles of `spec`. Raises `TechniqueInputs` if the given roles are not those of the
    spec."""
    if set(formats) != set(spec.inputs):
        wanted, named = (", ".join(sorted(roles)) or "none" for roles in (spec.inputs, formats))
        raise TechniqueInputs(technique=spec.label, wanted=wanted, given=named)
    return {role: material.further(role, given) for role, given in formats.items()}


def _rehearse(material: Material, threads: int) -> None:
    """Runs the original on all calibration examples."""
    engine, dataset = material.original, material.dataset
    run, batch = engine.session(Target(threads=threads)), fixed_batch(engine.summary.inputs, dataset.layout)
    for feeds in dataset.calibration(len(dataset.calibration_indices), batch or BATCH):
        run_portions(run, feeds, batch, dataset.layout)
