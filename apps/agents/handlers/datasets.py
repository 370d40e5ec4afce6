"""The job that checks a data set after its upload."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from apps.agents.contracts.job import JobResult
from apps.agents.contracts.job_arguments import InspectDatasetArguments
from apps.agents.datasets.dataset_fit import check_against
from apps.agents.datasets.inspection import inspect_examples

if TYPE_CHECKING:
    from apps.agents.sandbox.child import JobContext


def inspect_dataset(context: JobContext) -> JobResult:
    """Inspect the input `dataset`. The result's body is a `DatasetSummary`, whose notes say what is unusual.

    The arguments are `InspectDatasetArguments`.
    """
    job, arguments = context.job, InspectDatasetArguments.of(context.job)
    spec = arguments.spec
    start = time.monotonic()

    def watch(done: int, total: int) -> None:
        spent_s = time.monotonic() - start
        context.progress(done / total, f"Checked {done:,} of {total:,} examples", spent_s * (total - done) / done)

    inspection = inspect_examples(job.inputs["dataset"], spec, scratch=job.scratch, watcher=watch)
    if arguments.model is not None:
        check_against(arguments.model, inspection.summary, spec)
    for note in inspection.notes:
        context.log(note, "warning")
    found = {"notes": inspection.notes, "class_counts": inspection.class_counts}
    return JobResult(body=inspection.summary.model_copy(update=found).model_dump(mode="json"))
