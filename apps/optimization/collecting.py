"""Lets intermediate files go while a session runs, and has them made again where one is read after all.

The manager decides which ones (`apps.agents.session.keeping`). The caller holds the session's lock, so that no step
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


def make_again(session: OptimizationSession, key: str) -> list[SessionStep]:
    """Queues the step called `key` again if its file is not at hand, and those before it whose files it needs.

    It does not matter who removed the files: the session, the team's retention, or a restore from a backup that had
    the rows and not the files.
    """
    step = session.steps.select_related("artifact").get(key=key)
    if _is_at_hand(step):
        return []
    parents = session.steps.filter(key__in=step.parents.values())
    again = [one for parent in parents for one in make_again(session, parent.key)]
    if step.start_over():
        step.refresh_from_db()
        again.append(step)
    return again


def make_missing_again(step: SessionStep) -> list[SessionStep]:
    """Queues every step again whose file `step` reads and which the store has lost, and what those read in turn.

    Empty if nothing that a step made is missing: then it is an upload, which only a member can bring back.
    """
    made = SessionStep.objects.filter(session_id=step.session_id, key__in=step.parents.values())
    lost = made.filter(status=Status.COMPLETED).values_list("key", flat=True)
    return [again for key in lost for again in make_again(step.session, key)]


def _is_at_hand(maker: SessionStep) -> bool:
    artifact = maker.artifact
    return artifact is not None and artifact.damaged_at is None and is_stored(artifact)


def make_inputs_again(step: SessionStep) -> list[SessionStep]:
    """Queues every step again whose file `step` reads and which was let go, and what those read in turn."""
    again: list[SessionStep] = []
    parents = SessionStep.objects.filter(session_id=step.session_id, key__in=step.parents.values())
    for parent in parents.exclude(collected_at=None):
        if parent.start_over():
            parent.refresh_from_db()
            again += [*make_inputs_again(parent), parent]
    return again
