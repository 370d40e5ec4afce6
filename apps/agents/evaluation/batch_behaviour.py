"""How a model treats the examples in a batch, found by running it: whether it is deterministic, along which axis of the
outputs the examples lie, and whether one example changes another's output.

A file does not contain this information: axes may have any name, and a graph that draws random numbers looks like any
other. Outputs are compared by the energy of their difference in decibels, which does not depend on the outputs' scale.
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
"""Agreement that counts as equal. The first: the same numbers added in another order. The second: the minimum from run
to run, because half precision on an accelerator may vary a little."""
APART_DB, APART_IN_FEW_BITS_DB = 45.0, 30.0
"""Below this agreement an example's output depends on its neighbours. With few bits, a number that rounds the other way
causes a larger difference."""
BETTER_BY_DB = 20.0
"""How much better another axis must separate the examples before it is taken as the batch axis."""
EXAMPLES, BATCHES = 8, 3
"""How many examples to run, or batches if the model's batch size is fixed."""
RUNS, RUNS_OF_SUSPECTS = 2, 5
"""How often the same examples are run. A random choice among few answers often gives the same answer twice."""
_RANDOM = re.compile(r"rand|bernoulli|multinomial|dropout|poisson|noise", re.IGNORECASE)
_NORMS = re.compile(r"batch_?norm", re.IGNORECASE)
_BY_BATCH = re.compile(r"dynamic_?quant|dynamic_linear|linear_dynamic|(matmul|conv)integer", re.IGNORECASE)
"""Operators that round by the value range of the whole batch."""
_WIDE = frozenset(("float32", "float64", "int32", "int64", "uint32", "uint64", "bool", "string"))


@dataclass(frozen=True)
class Behaviour:
    """What running the model showed."""

    batch_axes: Mapping[str, int] = field(default_factory=dict)
    """The batch axis of each input for which it differs from the one that the data set was bound with."""
    notes: tuple[str, ...] = ()


_NO_RANDOM_OPERATOR = "it has no operator that is known to draw random numbers, so it may keep state between calls"


def examine(run: Run, dataset: Dataset, summary: ModelSummary) -> Behaviour:
    """Run a few examples of `dataset` repeatedly, alone and together.

    Raises `ModelNotDeterministic`, `ModelTrains`, `OutputUnfit` if the judged output has no entry per example,
    `BatchAxisUnclear`, and `ModelRunFailed` if the model does not run with any axis as the batch axis.
    """
    return _Examination(run, dataset, summary).behaviour()


def difference_db(exact: Array, other: Array) -> float:
    """Energy of `exact` over the energy of the difference, in decibels; the lowest value if shapes or types differ."""
    if exact.shape != other.shape:
        return -np.inf
    if exact.dtype.kind != "f":
        return np.inf if np.array_equal(exact, other) else -np.inf
    return sqnr_db(*energies(exact, other)) if not np.array_equal(exact, other, equal_nan=True) else np.inf


def output_axes(run: Run, feeds: Feeds, layout: Layout, batch: int | None, outputs: int) -> tuple[int | None, ...]:
    """The axis along which each of the `outputs` has the examples, found with batches of several sizes.

    If the model has a fixed `batch`, this is the first axis, or else the inputs' batch axis, provided that it has that
    length for all examples. With a batch of one, an output may have no such axis (`WHOLE`) if its shape stays the same.
    Raises `ModelRunFailed`.
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
    """The outputs that change when `feeds` are run again, each with its agreement in decibels."""
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

    # --- determinism --------------------------------------------------------------------------------------------------

    def _repeats(self, feeds: Feeds) -> tuple[str, ...]:
        suspects = [name for name in self.summary.operators if _RANDOM.search(name)]
        batch = self.dataset.layout.take(feeds, range(self._fixed)) if self._fixed else feeds
        unsteady = unsteady_outputs(self.run, batch, RUNS_OF_SUSPECTS if suspects else RUNS)
        drawn = f"it has {listed(suspects)}" if suspects else _NO_RANDOM_OPERATOR
        if self.judged in unsteady:
            alike = unsteady[self.judged]
            agreement = f" and two runs on the same examples agree only to {alike:.0f} dB" if np.isfinite(alike) else ""
            raise ModelNotDeterministic(output=self.summary.outputs[self.judged].name, reason=f"{drawn}{agreement}")
        names = [self.summary.outputs[index].name for index in unsteady]
        if not names:
            return ()
        return (
            f"Each run on the same examples gives different values in {listed(names)} ({drawn}). These outputs are "
            "not compared.",
        )

    # --- alone and together -------------------------------------------------------------------------------------------

    def _apart_db(self, dataset: Dataset) -> float | None:
        """How independent an example's judged output is of its batch: alone against among others, or in another order.

        `None` if that output has no entry per example. Raises `ModelRunFailed`.
        """
        layout, fixed = dataset.layout, fixed_batch(self.summary.inputs, dataset.layout)
        feeds = self._feeds(dataset)
        axes = output_axes(self.run, feeds, layout, fixed, len(self.summary.outputs))
        whole = run_portions(self.run, feeds, fixed, layout, axes)[self.judged]
        if whole is None:
            return None
        if fixed is not None:
            order = np.roll(np.arange(len(whole)), 1)  # Gives each example different neighbours.
            moved = run_portions(self.run, layout.take(feeds, order), fixed, layout, axes)[self.judged]
            other = None if moved is None else np.roll(moved, -1, axis=0)
        else:
            other = run_portions(self.run, feeds, 1, layout, axes)[self.judged]
        return -np.inf if other is None else difference_db(whole, other)

    def _another_axis(self, apart: float) -> Behaviour | None:
        """The only other axis along which examples are independent. Raises `BatchAxisUnclear` for several."""
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
            f"The examples lie along axis {place} of {names}: along that axis each example has the same outputs alone "
            "and among others; along the axis assumed at first it does not. If another axis is right, set it with "
            "the data set."
        )
        return Behaviour(found[0], (note,))

    def _other_axes(self) -> Iterable[dict[str, int]]:
        """Each axis that could be the batch axis of the inputs whose batch axis the member did not set."""
        specified = self.dataset.spec.inputs
        free = [
            binding
            for binding in self.dataset.bindings
            if binding.sources
            and (binding.wanted.name not in specified or specified[binding.wanted.name].batch_axis is None)
        ]
        if not isinstance(self.dataset, ArrayDataset) or not free:
            return
        for place in range(max(len(binding.wanted.shape) for binding in free)):
            axes = {binding.wanted.name: place for binding in free if place < len(binding.wanted.shape)}
            if any(binding.batch_axis != axes.get(binding.wanted.name, binding.batch_axis) for binding in free):
                yield axes

    def _keeps_apart(self, axes: Mapping[str, int], apart: float) -> bool:
        assert isinstance(self.dataset, ArrayDataset)  # `_other_axes` ensures this.
        try:
            found = self._apart_db(self.dataset.laid_out(axes))
        except (InputShape, InputUnfilled, ModelRunFailed):
            return False
        return found is not None and found >= max(SAME_DB, apart + BETTER_BY_DB)

    # --- messages -----------------------------------------------------------------------------------------------------

    def _mixing(self) -> str:
        """A sentence about examples that affect each other. Raises `ModelTrains` if batch normalization explains it."""
        rounded = [name for name in self.summary.operators if _BY_BATCH.search(name)]
        norms = [name for name in self.summary.operators if _NORMS.search(name)]
        if norms and not rounded:
            raise ModelTrains(operators=listed(norms))
        why = (
            f"{listed(rounded)} rounds by the value range of the whole batch"
            if rounded
            else "something in it, such as attention or a mean over the batch, mixes them"
        )
        return (
            f"The model's output for an example depends on the other examples in its batch: {why}. It is judged at "
            "the target's batch size; other batch sizes give different outputs."
        )

    def _unfit(self) -> OutputUnfit:
        output: TensorSpec = self.summary.outputs[self.judged]
        return OutputUnfit(
            output=output.name,
            shape=["?" if axis is None else axis for axis in output.shape],
            task=self.dataset.spec.task,
            reason="it does not have one entry per example; choose another output with the data set",
        )
