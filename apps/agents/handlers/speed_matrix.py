"""The job of a step that measures speed by batch size and threads."""

from __future__ import annotations

import time

from apps.agents.contracts.job import JobResult
from apps.agents.contracts.job_arguments import MatrixArguments
from apps.agents.contracts.reports.speed_matrix import SpeedMatrix
from apps.agents.handlers.material import Material
from apps.agents.measuring.engine import fixed_batch
from apps.agents.measuring.machine import describe_machine
from apps.agents.measuring.record import CANDIDATE, ORIGINAL
from apps.agents.measuring.speed_matrix import Surveyor, threads_of
from apps.agents.sandbox.child import JobContext


def run(context: JobContext) -> JobResult:
    """Time original and candidate over a grid. The result's body is a `SpeedMatrix`.

    The inputs are those of `Material`, with the candidate as the model; without one, the original is measured alone.
    The arguments are `MatrixArguments`.
    """
    arguments, start = MatrixArguments.of(context.job), time.monotonic()
    material, grid, machine = Material(context.job, arguments), arguments.grid, describe_machine()
    engines = {ORIGINAL: material.original}
    if not material.is_original:
        engines[CANDIDATE] = material.open(material.file)
    dataset = material.dataset
    fixed = (fixed_batch(engine.summary.inputs, dataset.layout) for engine in engines.values())
    surveyor = Surveyor(
        engines=engines,
        target=arguments.criteria.target,
        feeds_of=dataset.first,
        fixed=next((one for one in fixed if one is not None), None),
        most_examples=dataset.affordable_batch(max(grid.batch_sizes)) // arguments.batch_divisor,
        cores=machine.cores,
        seed=context.job.seed,
    )
    found = SpeedMatrix(
        batch_sizes=grid.batch_sizes,
        threads=threads_of(grid, machine.cores),
        cells=tuple(surveyor.cells(grid, context.progress)),
        machine=machine,
        seconds=round(time.monotonic() - start, 1),
    )
    context.progress(1.0, "Measured", 0.0)
    return JobResult(body=found.model_dump(mode="json"))
