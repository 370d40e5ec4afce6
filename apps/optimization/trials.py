"""The rows of a search's trials: written while a step makes them, and read by the steps that go on from them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apps.agents.contracts.searching import (
    SUPERNET,
    Portion,
    PortionMade,
    SoFar,
    TrialCard,
    search_key,
    search_of_portion,
    spent_s,
)
from apps.agents.contracts.state import Status, StepKind
from apps.models.models import Blob
from apps.optimization import collecting
from apps.optimization.models import SearchTrial, SessionStep

_CARD = tuple(name for name in TrialCard.model_fields if name != "number")


def keep(step: SessionStep, cards: Iterable[TrialCard]) -> None:
    """Writes what `step` has scored. What it scores again replaces what was there.

    Steps of other kinds have no trials, whatever the uploaded code that runs in them says.
    """
    if step.kind != StepKind.TRIALS:
        return
    rows = [
        SearchTrial(
            session_id=step.session_id,
            search=search_of_portion(step.key),
            step_key=step.key,
            **card.model_dump(mode="json"),
        )
        for card in cards
    ]
    SearchTrial.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["session", "search", "number"],
        update_fields=["step_key", *_CARD],
    )


def facts_of(step: SessionStep) -> dict[str, Any]:
    """What the job of `step` has to know of the search that it belongs to."""
    search = _search_of(step)
    if search is None:
        return {}
    rows = SearchTrial.objects.of_search(step.session_id, search)
    if step.kind != StepKind.TRIALS:
        return {"so_far": SoFar(trials=tuple(row.card for row in rows), spent_s=_spent_s(step, search))}
    portion = Portion.model_validate(step.parameters["portion"])
    made = rows.filter(step_key=step.key)
    if portion.finalists:
        return {"so_far": SoFar(trials=tuple(row.card for row in rows)), "made": tuple(row.card for row in made)}
    known = tuple(row.card for row in rows.filter(number__lte=portion.known))
    return {"so_far": SoFar(trials=known), "made": tuple(row.card for row in made)}


def supernet_for(step: SessionStep) -> Blob | None:
    """The supernet from which an optimize step trains the network found; `None` if it searches by itself."""
    search = _search_of(step) if step.kind == StepKind.OPTIMIZE else None
    if search is None:
        return None
    made = step.session.steps.select_related("artifact").filter(key=search, status=Status.COMPLETED).first()
    if made is None:
        return None
    if made.artifact is None or collecting.is_gone(made, ask_the_store=True):
        message = "The supernet of its search is not in the store any more. The step searches anew, by itself."
        step.session.log.create(step_key=step.key, level="warning", message=message)
        return None
    return made.artifact


def _search_of(step: SessionStep) -> str | None:
    """The key of the search to which `step` belongs, if there is one."""
    match step.kind:
        case StepKind.TRIALS:
            return step.parents[SUPERNET]
        case StepKind.OPTIMIZE:
            key = search_key(step.technique, step.parameters, step.parents)
            return key if step.session.steps.filter(key=key, status=Status.COMPLETED).exists() else None
    return None


def _spent_s(step: SessionStep, search: str) -> float:
    portions = step.session.steps.filter(kind=StepKind.TRIALS, status=Status.COMPLETED, key__startswith=f"{search}/")
    return spent_s(
        (Portion.model_validate(one.parameters["portion"]), PortionMade.model_validate(one.result)) for one in portions
    )
