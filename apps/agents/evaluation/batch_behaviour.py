"""How a model treats the examples of a batch, found by running it: whether it repeats itself, where they stand in its
outputs, and whether one changes what another gets.

What is found here stands in no file: names of axes are free, and a graph that draws random numbers looks like any
other. Outputs are compared by the energy of the difference, in decibels, which no scale of the outputs moves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from apps.agents.contracts.errors.datasets import BatchAxisUnclear, InputShape, InputUnfilled
from apps.agents.contracts.errors.evaluation import OutputUnfit
from apps.agents.contracts.errors.running import ModelNotDeterministic, ModelRunFailed, ModelTrains
from apps.agents.contracts.phrasing import listed
from apps.agents.contracts.reports.model import ModelSummary, TensorSpec
from apps.agents.datasets.dataset_fit import judged_output
from apps.agents.datasets.layout import Feeds, Layout
from apps.agents.datasets.loading import ArrayDataset, Arrays, Dataset
from apps.agents.evaluation.fidelity import energies
from apps.agents.evaluation.sqnr import sqnr_db
from apps.agents.measuring.engine import WHOLE, Array, Run, fixed_batch, run_portions

Shape = tuple[int, ...] | None

SAME_DB, REPEATS_DB = 60.0, 45.0
"""What is left of equality where the same numbers are added in another order, and at least from run to run, where half
precision on an accelerator may come out a little different."""
APART_DB, APART_IN_FEW_BITS_DB = 45.0, 30.0
"""Below this an example's output depends on its neighbours. In few bits a number that falls to the other side of a
rounding moves it farther."""
BETTER_BY_DB = 20.0
"""How much clearer another axis must keep examples apart before it is taken for theirs."""
EXAMPLES, BATCHES = 8, 3
"""That many examples, or batches of a model whose batch is fixed."""
RUNS, RUNS_OF_SUSPECTS = 2, 5
"""How often a model is asked the same; a random choice among few answers is often the same twice."""
_RANDOM = re.compile(r"rand|bernoulli|multinomial|dropout|poisson|noise", re.IGNORECASE)
_NORMS = re.compile(r"batch_?norm", re.IGNORECASE)
_BY_BATCH = re.compile(r"dynamic_?quant|dynamic_linear|linear_dynamic|(matmul|conv)integer", re.IGNORECASE)
"""Operators whose numbers are rounded by the range that a whole batch has."""
_WIDE = frozenset(("float32", "float64", "int32", "int64", "uint32", "uint64", "bool", "string"))


@dataclass(frozen=True)
class Behaviour:
    """What running the model has told."""

    batch_axes: Mapping[str, int] = field(default_factory=dict)
    """The axis of examples of inputs where it is another one than the data set was bound with."""
    notes: tuple[str, ...] = ()


_NOTHING_DRAWS = "no operator of it is known to draw random numbers, so it may keep a state from one call to the next"


def examine(run: Run, dataset: Dataset, summary: ModelSummary) -> Behaviour:
    """Run a few examples of `dataset` again, alone and side by side.

    Raises `ModelNotDeterministic`, `ModelTrains`, `OutputUnfit` where the judged output has no entries by example,
    `BatchAxisUnclear`, and `ModelRunFailed` where the model runs with no axis of its inputs as that of the examples.
    """
    return _Examination(run, dataset, summary).behaviour()


def difference_db(exact: Array, other: Array) -> float:
    """How far above their difference the numbers stand, in decibels; the least there is for anything unlike."""
    if exact.shape != other.shape:
        return -np.inf
    if exact.dtype.kind != "f":
        return np.inf if np.array_equal(exact, other) else -np.inf
    return sqnr_db(*energies(exact, other)) if not np.array_equal(exact, other, equal_nan=True) else np.inf


def output_axes(run: Run, feeds: Feeds, layout: Layout, batch: int | None, outputs: int) -> tuple[int | None, ...]:
    """The axis along which each of so many `outputs` has the examples, found on batches of several sizes.

    Of a model with a fixed `batch` it is the first axis, or else the one of the inputs, if it has that length
    whatever the examples are; with batches of one an output may do without such an axis (`WHOLE`), if its shape stays
    the same. Raises `ModelRunFailed`.
    """
    rows = layout.rows(feeds)
    if batch is not None:
        starts = range(0, max(1, rows - batch + 1), batch)
        cut = [np.minimum(np.arange(start, start + batch), rows - 1) for start in starts[:BATCHES]]
        usual = [0, *sorted({axis for axis in layout.axes.values() if axis})]
    else:
        cut = [np.arange(size) for size in sorted({min(size, rows) for size in (2, 3, rows)})]
        usual = list(range(16))
    seen: list[list[Shape]] = [[] for _ in range(outputs)]
    for chosen in cut:
        for shapes, output in zip(seen, run(layout.take(feeds, chosen)), strict=True):
            shapes.append(getattr(output, "shape", None))
    return tuple(_axis_of(shapes, usual, [len(chosen) for chosen in cut], alone=batch == 1) for shapes in seen)


def _axis_of(shapes: Sequence[Shape], usual: Sequence[int], sizes: Sequence[int], *, alone: bool) -> int | None:
    found = next((axis for axis in usual if _follows(shapes, axis, sizes)), None)
    return WHOLE if found is None and alone and None not in shapes and len(set(shapes)) == 1 else found


def _follows(shapes: Sequence[Shape], axis: int, sizes: Sequence[int]) -> bool:
    return all(
        shape is not None and axis < len(shape) and shape[axis] == size
        for shape, size in zip(shapes, sizes, strict=True)
    )


def unsteady_outputs(run: Run, feeds: Feeds, runs: int = RUNS) -> dict[int, float]:
    """The outputs that are others when `feeds` are run again, with how far they agree in decibels."""
    first = run(feeds)
    found: dict[int, float] = {}
    for _ in range(runs - 1):
        for index, (before, again) in enumerate(zip(first, run(feeds), strict=True)):
            if isinstance(before, np.ndarray) and (alike := difference_db(before, again)) < REPEATS_DB:
                found[index] = min(alike, found.get(index, np.inf))
    return found


class _Examination:
    def __init__(self, run: Run, dataset: Dataset, summary: ModelSummary) -> None:
        self.run, self.dataset, self.summary = run, dataset, summary
        self.judged = summary.outputs.index(judged_output(summary.outputs, dataset.spec.output))

    def behaviour(self) -> Behaviour:
        try:
            feeds = self._feeds(self.dataset)
            notes = self._repeats(feeds)
            apart = self._apart_db(self.dataset)
        except ModelRunFailed:
            if (found := self._another_axis(-np.inf)) is None:
                raise
            return found
        if apart is not None and apart >= self._limit_db:
            return Behaviour(notes=notes)
        if (found := self._another_axis(-np.inf if apart is None else apart)) is not None:
            return Behaviour(found.batch_axes, (*notes, *found.notes))
        if apart is None:
            raise self._unfit()
        return Behaviour(notes=(*notes, self._mixing()))

    @cached_property
    def _limit_db(self) -> float:
        return APART_DB if self.summary.weight_dtypes.keys() <= _WIDE else APART_IN_FEW_BITS_DB

    @cached_property
    def _fixed(self) -> int | None:
        return fixed_batch(self.summary.inputs, self.dataset.layout)

    def _feeds(self, dataset: Dataset) -> Arrays:
        fixed = fixed_batch(self.summary.inputs, dataset.layout)
        return dataset.first(BATCHES * fixed if fixed else max(2, dataset.affordable_batch(EXAMPLES)))

    # --- the same again -----------------------------------------------------------------------------------------------

    def _repeats(self, feeds: Feeds) -> tuple[str, ...]:
        suspects = [name for name in self.summary.operators if _RANDOM.search(name)]
        batch = self.dataset.layout.take(feeds, range(self._fixed)) if self._fixed else feeds
        unsteady = unsteady_outputs(self.run, batch, RUNS_OF_SUSPECTS if suspects else RUNS)
        drawn = f"it has {listed(suspects)}" if suspects else _NOTHING_DRAWS
        if self.judged in unsteady:
            alike = unsteady[self.judged]
            told = f" and the same examples agree to {alike:.0f} dB only" if np.isfinite(alike) else ""
            raise ModelNotDeterministic(output=self.summary.outputs[self.judged].name, reason=f"{drawn}{told}")
        names = [self.summary.outputs[index].name for index in unsteady]
        if not names:
            return ()
        return (
            f"Each time it is run on the same examples the model gives other values in {listed(names)} ({drawn}): "
            "nothing is compared by that.",
        )

    # --- one by one and side by side ----------------------------------------------------------------------------------

    def _apart_db(self, dataset: Dataset) -> float | None:
        """How far an example's judged output is its own: alone against among others, or in another order.

        `None` where that output has no entries by example. Raises `ModelRunFailed`.
        """
        layout, fixed = dataset.layout, fixed_batch(self.summary.inputs, dataset.layout)
        feeds = self._feeds(dataset)
        axes = output_axes(self.run, feeds, layout, fixed, len(self.summary.outputs))
        whole = run_portions(self.run, feeds, fixed, layout, axes)[self.judged]
        if whole is None:
            return None
        if fixed is not None:
            order = np.roll(np.arange(len(whole)), 1)  # So that each has other neighbours.
            moved = run_portions(self.run, layout.take(feeds, order), fixed, layout, axes)[self.judged]
            other = None if moved is None else np.roll(moved, -1, axis=0)
        else:
            other = run_portions(self.run, feeds, 1, layout, axes)[self.judged]
        return -np.inf if other is None else difference_db(whole, other)

    def _another_axis(self, apart: float) -> Behaviour | None:
        """The only other axis along which examples leave each other alone. Raises `BatchAxisUnclear` for several."""
        found = [axes for axes in self._other_axes() if self._keeps_apart(axes, apart)]
        if not found:
            return None
        names = listed(list(found[0]))
        if len(found) > 1:
            wanted = "; ".join(str(spec) for spec in self.summary.inputs if spec.name in found[0])
            places = listed([str(next(iter(axes.values()))) for axes in found])
            raise BatchAxisUnclear(wanted=wanted, axes=places, field="inputs")
        place = next(iter(found[0].values()))
        note = (
            f"The examples stand along axis {place} of {names}: there each has the same outputs alone and among "
            "others, which is not so along the axis that was thought to be theirs. Say so with the data set if it "
            "is another one."
        )
        return Behaviour(found[0], (note,))

    def _other_axes(self) -> Iterable[dict[str, int]]:
        """Each axis that those inputs could have their examples along of which nothing was said."""
        said = self.dataset.spec.inputs
        free = [
            binding
            for binding in self.dataset.bindings
            if binding.sources and (binding.wanted.name not in said or said[binding.wanted.name].batch_axis is None)
        ]
        if not isinstance(self.dataset, ArrayDataset) or not free:
            return
        for place in range(max(len(binding.wanted.shape) for binding in free)):
            axes = {binding.wanted.name: place for binding in free if place < len(binding.wanted.shape)}
            if any(binding.batch_axis != axes.get(binding.wanted.name, binding.batch_axis) for binding in free):
                yield axes

    def _keeps_apart(self, axes: Mapping[str, int], apart: float) -> bool:
        assert isinstance(self.dataset, ArrayDataset)  # `_other_axes` has seen to it.
        try:
            found = self._apart_db(self.dataset.laid_out(axes))
        except (InputShape, InputUnfilled, ModelRunFailed):
            return False
        return found is not None and found >= max(SAME_DB, apart + BETTER_BY_DB)

    # --- what is left to say ------------------------------------------------------------------------------------------

    def _mixing(self) -> str:
        """A sentence on examples that change each other. Raises `ModelTrains` where a norm of batches explains it."""
        rounded = [name for name in self.summary.operators if _BY_BATCH.search(name)]
        norms = [name for name in self.summary.operators if _NORMS.search(name)]
        if norms and not rounded:
            raise ModelTrains(operators=listed(norms))
        why = (
            f"{listed(rounded)} rounds by the range of a whole batch"
            if rounded
            else "something in it, such as attention or a mean over the batch, mixes them"
        )
        return (
            f"What the model gives for an example depends on the others of its batch: {why}. It is judged at the "
            "target's batch size, and other batches give other outputs."
        )

    def _unfit(self) -> OutputUnfit:
        output: TensorSpec = self.summary.outputs[self.judged]
        return OutputUnfit(
            output=output.name,
            shape=["?" if axis is None else axis for axis in output.shape],
            task=self.dataset.spec.task,
            reason="it has no entry for each example of a batch; name another output with the data set",
        )
