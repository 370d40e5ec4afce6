"""Searches for an architecture in steps, so that every worker can take a part and a crash loses one at most.

A link of a chain whose technique searches in stages becomes several steps: one trains the supernet, then a generation
of trials at a time is shared out among the workers, then the finalists, and the link's own step trains the network
found. To the rest of the manager that looks like the link's own step: while its search runs, a record stands in for it
(`folded`), and what is requested of it becomes the next steps of the search (`Searching.staged`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from apps.agents.contracts.searching import (
    SUPERNET,
    Portion,
    PortionMade,
    portion_key,
    search_key,
    search_of_portion,
    spent_s,
)
from apps.agents.contracts.state import ACTIVE, SessionState, Status, StepKind, StepRecord, StepRequest
from apps.agents.session.steps import LOST, Steps, optimize_key
from apps.agents.techniques.catalogue import TechniqueSpec

TRIALS_SHARE = 0.2
"""Of the minutes of a search, for its trials."""
ALONE = 4
"""Generations that one step makes if there is one worker: opening the model again takes time."""


def folded(state: SessionState) -> SessionState:
    """The state with one optimize step in the place of the steps of each search that is under way, or was lost."""
    steps = Steps.of(state)
    stand_ins = [one for search in _searches(state) if (one := search.stand_in(steps)) is not None]
    return state.model_copy(update={"steps": (*state.steps, *stand_ins)}) if stand_ins else state


@dataclass(frozen=True)
class _Search:
    """The steps of one search."""

    supernet: StepRecord
    portions: tuple[StepRecord, ...]

    @property
    def lost(self) -> StepRecord | None:
        return next((step for step in (self.supernet, *self.portions) if step.status in LOST), None)

    @property
    def is_active(self) -> bool:
        return any(step.status in ACTIVE for step in (self.supernet, *self.portions))

    @property
    def made(self) -> list[tuple[Portion, PortionMade]]:
        """What each completed step was asked for, and its result."""
        completed = (step for step in self.portions if step.status is Status.COMPLETED)
        return [(_portion(step), PortionMade.model_validate(step.result)) for step in completed]

    def owner(self, steps: Steps) -> StepRequest:
        """The request of the step for whose sake the search was begun."""
        request = self.supernet.request
        key = optimize_key(request.candidate) if request.candidate else steps.key_made_by(self.supernet)
        return request.model_copy(update={"key": key, "kind": StepKind.OPTIMIZE})

    def stand_in(self, steps: Steps) -> StepRecord | None:
        """What stands for the owner until it is requested; `None` once it is."""
        owner = self.owner(steps)
        if steps.get(owner.key) is not None:
            return None
        if (lost := self.lost) is None:
            return StepRecord(request=owner, status=Status.RUNNING, stands_in=True)
        return lost.model_copy(update={"request": owner, "stands_in": True})


@dataclass(frozen=True)
class Searching:
    """The searches of a session. Everything follows from the state, which is not folded."""

    state: SessionState
    specs: Mapping[str, TechniqueSpec]

    @cached_property
    def _searches(self) -> dict[str, _Search]:
        return {one.supernet.request.key: one for one in _searches(self.state)}

    def staged(self, requests: Iterable[StepRequest]) -> tuple[StepRequest, ...]:
        """`requests` with the first step of a search in the place of each that has to search first.

        One whose search runs already, for another of its best networks, waits.
        """
        found: dict[str, StepRequest] = {}
        for request in requests:
            key = self._search_of(request)
            search = self._searches.get(key) if key else None
            if key is None or (search is not None and search.lost is None and self._is_over(search)):
                found[request.key] = request
            elif search is None:
                found.setdefault(key, request.model_copy(update={"key": key, "kind": StepKind.SUPERNET}))
            elif search.lost is not None:
                found[request.key] = request
        return tuple(found.values())

    def further(self) -> tuple[StepRequest, ...]:
        """The next steps of the searches under way, none of whose steps is running."""
        steps = Steps.of(self.state)
        return tuple(
            request
            for search in self._searches.values()
            if search.stand_in(steps) is not None and search.lost is None and not search.is_active
            for request in self._next_of(search, steps)
        )

    def _search_of(self, request: StepRequest) -> str | None:
        """The key of the search that a request needs; `None` if it needs none, or was made in an earlier session."""
        spec = self.specs.get(request.technique or "")
        if request.kind is not StepKind.OPTIMIZE or spec is None or not spec.knowledge.in_stages:
            return None
        if not spec.knowledge.searches_with(request.parameters) or self._was_made_before(request):
            return None
        return search_key(spec.name, request.parameters, request.parents)

    def _was_made_before(self, request: StepRequest) -> bool:
        record = StepRecord(request=request, status=Status.QUEUED)
        return self.state.earlier is not None and Steps.of(self.state).key_made_by(record) in self.state.earlier.made

    def _next_of(self, search: _Search, steps: Steps) -> Iterator[StepRequest]:
        if self._is_over(search):
            yield search.owner(steps)
            return
        made, parameters = search.made, self._parameters(search)
        trials = sum(len(one.trials) for portion, one in made if not portion.finalists)
        if self._tried_enough(search):
            yield from self._shared_out(search, parameters["finalists"], finalists=True, known=trials)
            return
        left_s = None if parameters["steps"] else 60 * TRIALS_SHARE * parameters["minutes"] - spent_s(made)
        yield from self._shared_out(search, parameters["batch"], known=trials, left_s=left_s)

    def _shared_out(self, search: _Search, most: int, **asked: Any) -> Iterator[StepRequest]:
        """Steps for as many workers as there are, at most `most`."""
        workers = max(1, min(self.state.parallelism, most))
        alone = {"generations": ALONE} if workers == 1 and not asked.get("finalists") else {}
        request, key = search.supernet.request, search.supernet.request.key
        for share in range(workers):
            portion = Portion(share=share, of=workers, **alone, **asked)
            yield request.model_copy(
                update={
                    "key": portion_key(key, portion),
                    "kind": StepKind.TRIALS,
                    "reason": _why(portion),
                    "parameters": {"parameters": request.parameters, "portion": portion.model_dump(mode="json")},
                    "parents": {**request.parents, SUPERNET: key},
                }
            )

    def _parameters(self, search: _Search) -> dict[str, Any]:
        request = search.supernet.request
        return self.specs[request.technique or ""].resolve(request.parameters)

    def _tried_enough(self, search: _Search) -> bool:
        """Whether there are as many trials as asked for, nothing is left to try, or their time is over."""
        made = [(portion, one) for portion, one in search.made if not portion.finalists]
        if not made:
            return False
        parameters = self._parameters(search)
        trials, last = sum(len(one.trials) for _, one in made), made[-1][1]
        over = not parameters["steps"] and spent_s(made) >= 60 * TRIALS_SHARE * parameters["minutes"]
        return trials >= parameters["trials"] or not last.proposed or over or any(one.late for _, one in made)

    def _is_over(self, search: _Search) -> bool:
        """Whether only the training of the network found is left."""
        if search.supernet.status is not Status.COMPLETED or search.is_active or not self._tried_enough(search):
            return False
        wanted = self._parameters(search)["finalists"]
        return wanted < 2 or any(portion.finalists for portion, _ in search.made)


def _searches(state: SessionState) -> Sequence[_Search]:
    portions: dict[str, list[StepRecord]] = {}
    for step in state.steps:
        if step.request.kind is StepKind.TRIALS:
            portions.setdefault(search_of_portion(step.request.key), []).append(step)
    return [
        _Search(step, tuple(portions.get(step.request.key, ())))
        for step in state.steps
        if step.request.kind is StepKind.SUPERNET
    ]


def _portion(step: StepRecord) -> Portion:
    return Portion.model_validate(step.request.parameters["portion"])


def _why(portion: Portion) -> str:
    shared = f" {portion.of} steps share them." if portion.of > 1 else ""
    if portion.finalists:
        return f"Trains the best sub-networks alone for a short while.{shared}"
    return f"Tries sub-networks from number {portion.known + 1} on.{shared}"
