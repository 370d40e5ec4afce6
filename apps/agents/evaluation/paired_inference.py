"""Both models of a comparison, and how examples are run through them: in which batches, and which outputs count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from apps.agents.contracts.criteria import Target
from apps.agents.contracts.dataset_spec import DatasetKind
from apps.agents.contracts.errors.evaluation import OutputsDiffer, OutputUnfit
from apps.agents.contracts.reports.model import TensorSpec
from apps.agents.datasets.dataset_fit import judged_output
from apps.agents.datasets.layout import Feeds, Layout
from apps.agents.datasets.loading import Dataset
from apps.agents.evaluation.batch_behaviour import SAME_DB, difference_db, output_axes, unsteady_outputs
from apps.agents.evaluation.fidelity import FidelityMeter, may_differ, visible
from apps.agents.measuring.engine import Array, Engine, Run, fixed_batch, run_portions

FEW, COMPARED = 8, 16
"""Examples for examining outputs, and the minimum for comparing two batch sizes."""
LOOKED_AT = 4
"""Batches examined to find one with several examples."""
ONE_BY_ONE = 64
"""Examples that are run alone for outputs without an entry per example."""


@dataclass
class Passing:
    """The original and a candidate, ready to run side by side."""

    runs: Sequence[Run]
    outputs_known: tuple[TensorSpec, ...]
    read: int
    """Index of the judged output."""
    layout: Layout
    axes: list[int | None]
    """The batch axis of each output; `None` if it has no entry per example, or changes from run to run."""
    unsteady: frozenset[int]
    fixed: tuple[int | None, ...]
    """The batch size that each model was exported with."""
    portions: list[int | None]
    """The batch size that each model receives; `None` means all examples at once."""
    batch: int
    """How many examples to request from the data set at once."""
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, engines: Sequence[Engine], dataset: Dataset, target: Target, batch: int) -> Passing:
        """Find out, on the first test batch, the outputs' axes and whether the batch size changes the outputs.

        Raises `OutputUnfit` if the judged output has no entry per example.
        """
        outputs, layout = engines[0].summary.outputs, dataset.layout
        read = outputs.index(judged_output(outputs, dataset.spec.output))
        runs = [engine.session(target) for engine in engines]
        fixed = [fixed_batch(engine.summary.inputs, layout) for engine in engines]
        feeds = _sample(dataset, max(batch, target.batch_size))
        few = layout.take(feeds, range(min(layout.rows(feeds), 3 * fixed[0] if fixed[0] else FEW)))
        once = layout.take(few, range(min(layout.rows(few), fixed[0] or FEW)))
        unsteady = frozenset(unsteady_outputs(runs[0], _filled(once, fixed[0], layout)))
        axes = list(output_axes(runs[0], few, layout, fixed[0], len(outputs)))
        if axes[read] is None:
            raise OutputUnfit(
                output=outputs[read].name,
                shape=["?" if axis is None else axis for axis in outputs[read].shape],
                task=dataset.spec.task,
                reason="it does not have one entry per example; choose another output with the data set",
            )
        axes = [None if place in unsteady and place != read else axis for place, axis in enumerate(axes)]
        found = cls(runs, outputs, read, layout, axes, unsteady, tuple(fixed), list(fixed), batch)
        found._settle_batch(feeds, dataset, target)
        return found

    def _settle_batch(self, feeds: Feeds, dataset: Dataset, target: Target) -> None:
        """Judge in batches of the target's size if either model gives different outputs in larger or smaller ones."""
        wanted = target.batch_size
        free = [index for index, portion in enumerate(self.portions) if portion is None]
        small, large = sorted((self.batch, wanted))
        rows = min(self.layout.rows(feeds), max(COMPARED, 2 * small))
        sample, sizes = self.layout.take(feeds, range(rows)), (small, min(large, rows))
        if sizes[0] >= sizes[1] or not any(self._changes(index, sample, sizes) for index in free):
            return
        for index in free:
            self.portions[index] = wanted
        # Texts are padded to the longest in a batch. Other examples come in large batches and are split here.
        usual = max(1, self.batch // wanted) * wanted
        self.batch = wanted if dataset.spec.kind is DatasetKind.TEXT else usual
        self.notes.append(
            f"Judged at the target's batch size of {wanted}: with another batch size, the same examples have "
            "different outputs. One cause is value ranges that are taken over a whole batch."
        )

    def _changes(self, index: int, feeds: Feeds, sizes: tuple[int, int]) -> bool:
        one, other = (
            visible(run_portions(self.runs[index], feeds, size, self.layout, self.axes), self.outputs_known, feeds)
            for size in sizes
        )
        first, second = one[self.read], other[self.read]
        return first is not None and second is not None and difference_db(first, second) < SAME_DB

    # --- examples -----------------------------------------------------------------------------------------------------

    def outputs(self, feeds: Feeds) -> list[list[Array | None]]:
        """The outputs of both models by example; `None` for an output without an entry per example."""
        both = [
            run_portions(run, feeds, portion, self.layout, self.axes)
            for run, portion in zip(self.runs, self.portions, strict=True)
        ]
        for place, output in enumerate(self.outputs_known):
            if place != self.read and _unlike(output, both[0][place], both[1][place]):
                self.axes[place] = both[0][place] = both[1][place] = None
        return both

    def judged(self, outputs: Sequence[Array | None]) -> Array:
        """The output that predictions are read from. Raises `OutputsDiffer` unless it has one entry per example."""
        output = outputs[self.read]
        if output is None:
            name = self.outputs_known[self.read].name
            raise OutputsDiffer(reason=f"output {name!r} does not have one entry for each example")
        return output

    def compare_whole(self, meter: FidelityMeter, dataset: Dataset) -> tuple[str, ...]:
        """Add the outputs without an entry per example to `meter`, on a few examples. Returns notes."""
        places = [place for place, axis in enumerate(self.axes) if axis is None and place not in self.unsteady]
        unlike = dict.fromkeys(places, 0)
        done = 0
        for feeds, _ in dataset.evaluation(min(self.batch, ONE_BY_ONE)) if places else ():
            for row in range(min(self.layout.rows(feeds), ONE_BY_ONE - done)):
                both = [
                    run(_filled(self.layout.take(feeds, [row]), portion, self.layout))
                    for run, portion in zip(self.runs, self.fixed, strict=True)
                ]
                done += 1
                for place in places:
                    unlike[place] += not meter.add_whole(place, both[0][place], both[1][place])
            if done >= ONE_BY_ONE:
                break
        notes = (self._alone_note(place, unlike[place], done) for place in places)
        return (*self.notes, *notes, *self._left_out())

    def _alone_note(self, place: int, unlike: int, examples: int) -> str:
        name = self.outputs_known[place].name
        sentence = f"Output {name!r} lacks comparable entries per example: compared on {examples} examples run alone"
        if not unlike:
            return f"{sentence}."
        return f"{sentence}. On {unlike} of them the candidate's shape differs from the original's."

    def _left_out(self) -> tuple[str, ...]:
        names = [self.outputs_known[place].name for place in sorted(self.unsteady) if place != self.read]
        if not names:
            return ()
        return (f"The original gives different values in {', '.join(names)} each time, so this is not compared.",)


def _sample(dataset: Dataset, batch: int) -> Feeds:
    """A batch of test examples: the first with more than one, because long texts may come one by one."""
    looked: list[Feeds] = []
    for feeds, _ in islice(dataset.evaluation(batch), LOOKED_AT):
        looked.append(feeds)
        if dataset.layout.rows(feeds) >= COMPARED:
            break
    return max(looked, key=dataset.layout.rows)


def _unlike(output: TensorSpec, original: Array | None, candidate: Array | None) -> bool:
    """Whether the data determine an output's length, so that it can be compared at most example by example.

    In the first batches it may have had the batch's length by chance.
    """
    if original is None or candidate is None:
        return True
    return original.shape != candidate.shape and may_differ(output, original.shape, candidate.shape)


def _filled(feeds: Feeds, batch: int | None, layout: Layout) -> Feeds:
    """`feeds` with its last example repeated up to `batch`."""
    if batch is None:
        return feeds
    return layout.take(feeds, np.minimum(np.arange(batch), layout.rows(feeds) - 1))
