"""The job that looks a data set through after its upload."""

from __future__ import annotations

import time

from apps.agents.child import JobContext
from apps.agents.dataset_fit import check_against
from apps.agents.dataset_inspection import inspect_examples
from apps.agents.dataset_spec import DatasetSpec
from apps.agents.job import JobResult
from apps.agents.reports import ModelSummary


def inspect_dataset(context: JobContext) -> JobResult:
    """Inspect the input `dataset`; the result's body is a `DatasetInspection`, whose `summary` the store keeps.

    Arguments: `dataset`, a `DatasetSpec` as plain JSON; `model`, a `ModelSummary`, to check the data against as well.
    """
    job = context.job
    spec = DatasetSpec.model_validate(job.arguments["dataset"])
    start = time.monotonic()

    def watch(done: int, total: int) -> None:
        spent_s = time.monotonic() - start
        context.progress(done / total, f"Looked at {done:,} of {total:,} examples", spent_s * (total - done) / done)

    inspection = inspect_examples(job.inputs["dataset"], spec, scratch=job.scratch, watcher=watch)
    if model := job.arguments.get("model"):
        check_against(ModelSummary.model_validate(model), inspection.summary, spec)
    return JobResult(body=inspection.model_dump(mode="json"))
