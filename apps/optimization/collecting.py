"""Lets intermediate files go while a session runs, and has files made again that are read after all.

The manager decides which ones go (`apps.agents.session.keeping`). The caller holds the session's lock, so that no step
starts from a file that is being let go.
"""

from __future__ import annotations

from collections.abc import Collection

from django.db.models.functions import Now

from apps.agents.contracts.state import Status
from apps.models.storage import is_stored
from apps.optimization.models import OptimizationSession, SessionStep


def let_go(session: OptimizationSession, keys: Collection[str]) -> None:
    """Drops the references to the files of these steps. The store removes a file once no row refers to it."""
    made = session.steps.filter(key__in=keys, status=Status.COMPLETED).exclude(artifact=None)
    for step in made.select_related("artifact"):
        assert step.artifact is not None
        session.log.create(
            step_key=step.key,
            message=f"Its file ({step.artifact.size_bytes / 1e6:,.1f} MB) was removed: nothing in the session reads it "
            "any more. Its recipe makes it again.",
        )
    made.update(artifact=None, collected_at=Now())


def make_inputs_again(step: SessionStep, *, ask_the_store: bool = False) -> list[SessionStep]:
    """Queues every step again whose file `step` reads and which is gone, and what those read in turn.

    It does not matter who removed a file: the session, the team's retention, or, which only `ask_the_store` finds out,
    a restore from a backup that had the rows and not the files. Empty if nothing that a step made is missing: then it
    is an upload, which only a member can bring back.
    """
    makers = SessionStep.objects.filter(session_id=step.session_id, key__in=step.parents.values())
    return [again for maker in makers for again in make_again(maker, ask_the_store=ask_the_store)]


def make_again(maker: SessionStep, *, ask_the_store: bool = False) -> list[SessionStep]:
    """Queues a completed step again if its file is gone, and those before it whose files it needs."""
    if maker.status != Status.COMPLETED or not is_gone(maker, ask_the_store):
        return []
    before = make_inputs_again(maker, ask_the_store=ask_the_store)
    if not maker.start_over():
        return before
    maker.refresh_from_db()
    return [*before, maker]


def is_gone(maker: SessionStep, ask_the_store: bool) -> bool:
    """Whether the file that `maker` made cannot be read any more."""
    artifact = maker.artifact
    if artifact is None:
        return bool(maker.artifact_filename)
    if artifact.damaged_at is not None:
        return True
    return ask_the_store and not is_stored(artifact)
