"""Lathe itself: a session of a portal of its own with the profile "fastest", from the upload to the delivered file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from apps.agents.contracts.criteria import PROFILES, Budget
from apps.agents.contracts.dataset_spec import DatasetSpec
from benchmarks.own_portal import run_session, start_django
from benchmarks.peers.makers.job import Job, asked

if TYPE_CHECKING:
    from apps.optimization.models import OptimizationSession

CANDIDATES = 12


def make(job: Job) -> None:
    var = job.folder / "var"
    var.mkdir()
    start_django(var)
    criteria = PROFILES["fastest"].model_copy(update={"budget": Budget(minutes=job.minutes, candidates=CANDIDATES)})
    session = run_session(Path(job.model), Path(job.given), DatasetSpec.model_validate(job.spec), criteria)
    deliver(job, session)


def deliver(job: Job, session: OptimizationSession) -> None:
    """Downloads the winner. Where the original stands, that is what Lathe has to offer."""
    from apps.models.storage import open_blob
    from apps.optimization.lineage import makers
    from apps.optimization.services import report

    found = report(session)
    if found.winner is None:
        job.done(Path(job.model), job.format, what="the original stands")
        return
    step = makers(session)[found.winner.key]
    assert step.artifact is not None, "a winner's file is kept"
    artifact = job.folder / step.artifact_filename
    with open_blob(step.artifact) as file:
        artifact.write_bytes(file.read())
    job.done(artifact, found.winner.format, what=found.winner.title)


if __name__ == "__main__":
    make(asked())
