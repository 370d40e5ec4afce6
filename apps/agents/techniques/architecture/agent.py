"""The base class of techniques that search for a smaller architecture: checks, the search, and its evidence."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from apps.agents.contracts.context import Context
from apps.agents.contracts.errors.techniques import TechniqueParameters
from apps.agents.contracts.searching import Portion, PortionMade, Searched, SupernetMade, TrialCard
from apps.agents.techniques.architecture.progress import Progress
from apps.agents.techniques.architecture.search import Asked, Search
from apps.agents.techniques.architecture.searchable_model import Lesson, SearchableModel
from apps.agents.techniques.architecture.space import Kind, Values
from apps.agents.techniques.architecture.trials import front, rank_correlation
from apps.agents.techniques.base import Applied, Assignment
from apps.agents.techniques.pruning import channels_by_layer
from apps.agents.techniques.reduction import Reduction, ReductionAgent, Workload
from apps.agents.techniques.training.places import training_part_of

MOST_TRIALS_TOLD = 240
"""In the evidence: the first ones, and all that are on the front."""
_DIGITS = 5
_WRITTEN = 0.98
"""The progress when the artifact is written."""


class ArchitectureSearchAgent(ReductionAgent):
    """Finds a sub-network that is fast enough and loses least, and trains it to its end.

    A backend opens the model and counts what the artifact computes. The forecast assumes that work shrinks as latency.
    """

    _model: SearchableModel
    _progress: Progress
    _searched: Searched | None = None
    _counted: Workload

    @abstractmethod
    def open(self, assignment: Assignment, checkpoint: Path | None) -> tuple[SearchableModel, Progress]:
        """The model as it is searched, and how far the search is: at its start, with what widths are multiples of.

        Raises `TechniqueNotTraceable` and `TechniqueNothingToSearch`.
        """

    @abstractmethod
    def count(self, assignment: Assignment, artifact: Path) -> Workload:
        """What the artifact computes and stores."""

    def check(self, assignment: Assignment, context: Context) -> None:
        """Also opens the model. Raises `TrainingPartMissing` without a training part, and `TechniqueParameters` if
        there is no such network."""
        super().check(assignment, context)
        training_part_of(assignment.dataset, assignment.spec.label)
        began = self._searched.file if self._searched is not None else None
        self._model, self._progress = self.open(assignment, context.checkpoint or began)
        try:
            self._model.space.read(assignment.parameters["network"])
        except ValueError as error:
            raise TechniqueParameters(reason=f"network: {error}", field="parameters") from error

    # --- in steps -----------------------------------------------------------------------------------------------------

    def going_on_from(self, searched: Searched) -> Self:
        """Goes on from what other steps have found, instead of searching by itself."""
        self._searched = searched
        return self

    def train_supernet(self, assignment: Assignment, context: Context, file: Path) -> SupernetMade:
        """Measures the table and trains the supernet, and writes both to `file`. Raises what `run` does until then."""
        self.check(assignment, context)
        search = self._search(assignment, context)
        search.prepare(file)
        return SupernetMade(
            sub_networks=self._model.space.size,
            limit_ms=search.limit_ms,
            original_ms=search.progress.original_ms,
            evidence={"table": self._table(search), "supernet": search.progress.supernet},
        )

    def make_trials(
        self,
        assignment: Assignment,
        context: Context,
        portion: Portion,
        made: Sequence[TrialCard],
        tell: Callable[[TrialCard], object],
    ) -> PortionMade:
        """A portion of the trials of `going_on_from`, without those that were `made` already. Each is told at once."""
        began = time.monotonic()
        self.check(assignment, context)
        found = self._search(assignment, context).portion(portion, made, tell)
        return found.model_copy(update={"seconds": round(time.monotonic() - began, 3)})

    def _search(self, assignment: Assignment, context: Context) -> Search:
        asked = Asked.of(assignment.parameters, assignment.seed)
        scratch, label = assignment.scratch, assignment.spec.label
        return Search(self._model, asked, context, scratch, label, progress=self._progress, searched=self._searched)

    # --- in one -------------------------------------------------------------------------------------------------------

    def forecast(self, assignment: Assignment) -> Reduction:
        whole = self._model.workload(self._model.space.largest)
        share = float(assignment.parameters["latency_left"])
        return Reduction(whole, Workload(round(share * whole.macs), round(share * whole.parameters)))

    def apply(self, assignment: Assignment, context: Context) -> Applied:
        search = self._search(assignment, context)
        names = assignment.parameters["network"]
        values, lesson = search.run(self._model.space.read(names) if names else None)
        context.progress(_WRITTEN, "saving")
        artifact = self._model.save(assignment.out)
        self._counted = self.count(assignment, artifact)
        evidence = {**self.reduction(assignment).evidence(), **self._evidence(search, values, lesson)}
        settled = {
            "network": list(self._model.space.named(values)),
            "steps": search.progress.supernet_steps,
            "final_steps": lesson.steps,
            "round_to": self._progress.multiple,
            "threads": lesson.evidence["threads"],
        }
        return Applied(artifact, evidence, settled)

    def reduction(self, assignment: Assignment) -> Reduction:
        return Reduction(self._model.workload(self._model.space.largest), self._counted)

    # --- evidence -----------------------------------------------------------------------------------------------------

    def _evidence(self, search: Search, values: Values, lesson: Lesson) -> dict[str, Any]:
        found: dict[str, Any] = {
            "channels_by_layer": self._channels(values),
            "chosen": {name: value for name, _, value in (one.rpartition("=") for one in self._other(values))},
            "supernet": search.progress.supernet,
            "training": lesson.evidence,
            "held_out_accuracy": lesson.score.accuracy,
            "rounding": {"multiple": search.progress.multiple, "ms_per_million_macs": search.progress.costs},
        }
        if search.progress.table is None:  # The network was given.
            return found
        return {**found, "search": self._trials_and_finalists(search, values)}

    def _table(self, search: Search) -> dict[str, Any]:
        table = search.progress.table
        assert table is not None
        return {"operators": table.entries, **search.progress.deviation.plain()}

    def _trials_and_finalists(self, search: Search, values: Values) -> dict[str, Any]:
        progress, best = search.progress, front(search.progress.trials)
        trials = [
            {
                "number": number,
                "network": list(self._model.space.named(one.values)),
                "loss": round(one.loss, _DIGITS),
                "accuracy": one.accuracy,
                "latency_ms": round(one.latency_ms, _DIGITS),
                "parameters": one.parameters,
                "macs": one.macs,
                "on_front": one in best,
            }
            for number, one in enumerate(progress.trials, start=1)
            if number <= MOST_TRIALS_TOLD or one in best
        ]
        finals = [
            {
                "trial": one.trial,
                "chosen": one.values == values,
                "shared_loss": round(one.shared.loss, _DIGITS),
                "alone_loss": round(one.alone.loss, _DIGITS),
                "shared_accuracy": one.shared.accuracy,
                "alone_accuracy": one.alone.accuracy,
            }
            for one in progress.finalists
        ]
        pairs = [(one.shared.loss, one.alone.loss) for one in progress.finalists]
        table = progress.table
        assert table is not None
        return {
            "sampler": search.asked.sampler,
            "sub_networks": self._model.space.size,
            "trials": trials,
            "trials_made": len(progress.trials),
            "limit_ms": round(search.limit_ms, _DIGITS),
            "original_ms": round(progress.original_ms, _DIGITS),
            "found_ms": round(table.latency_ms(self._model.work(values)), _DIGITS),
            "finalists": finals,
            "rank_correlation": rank_correlation(*zip(*pairs, strict=True)) if pairs else None,
            "table": self._table(search),
        }

    def _channels(self, values: Values) -> list[list[str | int]]:
        return channels_by_layer(
            (layer, one.options[-1], value)
            for one, value in zip(self._model.space.dimensions, values, strict=True)
            if one.kind is Kind.WIDTH
            for layer in one.layers
        )

    def _other(self, values: Values) -> list[str]:
        """Kernels and blocks that are not as they were, by name."""
        space = self._model.space
        pairs = zip(space.dimensions, values, space.named(values), strict=True)
        return [name for one, value, name in pairs if one.kind is not Kind.WIDTH and value != one.options[-1]]
