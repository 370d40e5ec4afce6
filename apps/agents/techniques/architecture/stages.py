"""What a technique offers whose search a session shares out among workers (`TechniqueKnowledge.in_stages`). Light."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

from apps.agents.contracts.context import Context
from apps.agents.contracts.searching import Portion, PortionMade, Searched, SupernetMade, TrialCard

if TYPE_CHECKING:
    from apps.agents.techniques.base import Assignment


@runtime_checkable
class SearchesInSteps(Protocol):
    """An agent of such a technique. Its `run` trains the network found, and without `going_on_from` does it all."""

    def going_on_from(self, searched: Searched) -> Self:
        """Goes on from what other steps have found, instead of searching by itself."""

    def train_supernet(self, assignment: Assignment, context: Context, file: Path) -> SupernetMade:
        """Trains the supernet and writes it to `file`, with all that trials need to know."""

    def make_trials(
        self,
        assignment: Assignment,
        context: Context,
        portion: Portion,
        made: Sequence[TrialCard],
        tell: Callable[[TrialCard], object],
    ) -> PortionMade:
        """A portion of the trials, without those that were `made` already. Each is told at once."""
