"""Which artifacts a running session still needs.

The artifact of a candidate is kept until retention removes it, whatever its status. An intermediate artifact is needed
as long as a step may start from it.
"""

from __future__ import annotations

from collections.abc import Iterator

from apps.agents.contracts.chain import Chain, sources
from apps.agents.contracts.state import ACTIVE, Status, StepKind
from apps.agents.planning.repair import Stop
from apps.agents.session.refining import Refining
from apps.agents.session.search import Search


def unneeded(search: Search) -> tuple[str, ...]:
    """The keys of completed steps whose artifacts the session will not read again."""
    needed = frozenset(_needed(search))
    completed = [step for step in search.steps.by_key.values() if step.status is Status.COMPLETED]
    made = [step for step in completed if step.request.kind is StepKind.OPTIMIZE]
    # A supernet is read until no other of its networks can be wanted.
    made += [step for step in completed if step.request.kind is StepKind.SUPERNET and not search.is_open]
    return tuple(step.request.key for step in made if step.request.key not in needed)


def _needed(search: Search) -> Iterator[str]:
    for step in search.steps.by_key.values():
        if step.status in ACTIVE:
            yield from step.request.parents.values()
    yield from (trial.maker for trial in search.trials if trial.started)
    if search.is_open:
        yield from _by_what_may_start(search)


def _by_what_may_start(search: Search) -> Iterator[str]:
    """The keys of steps whose artifacts are read by candidates that were not started, or by repairs and refinements
    that may follow."""
    for trial in search.trials:
        if not trial.started:
            yield trial.maker
            yield from _read_on_the_way(search, trial.planned.steps)
    for chain in search.chains:
        if not isinstance(search.repair_of(chain), Stop):
            yield from search.steps.parents_of(chain[0].planned.steps).values()
    for refinable in Refining(search).may_follow():
        yield from filter(None, (made.request.key for part in sources(refinable) if (made := search.steps.made(part))))


def _read_on_the_way(search: Search, chain: Chain) -> Iterator[str]:
    """The keys of steps whose artifacts are read by links of `chain` that are still to be applied."""
    for part in (*sources(chain), chain):
        made = search.steps.made(part)
        if made is None or made.status is not Status.COMPLETED:
            yield from search.steps.parents_of(part).values()
