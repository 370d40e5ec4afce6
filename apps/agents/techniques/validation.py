"""Checks of an artifact against the input model: finite outputs that agree."""

from __future__ import annotations

from collections.abc import Sequence

from apps.agents.contracts.errors.evaluation import OutputsDiffer
from apps.agents.contracts.errors.running import ModelRunFailed
from apps.agents.contracts.errors.techniques import TechniqueInvalidOutput
from apps.agents.contracts.reports.model import ModelSummary, TensorSpec
from apps.agents.datasets.dataset_fit import judged_output
from apps.agents.datasets.layout import Layout
from apps.agents.datasets.loading import Dataset
from apps.agents.evaluation.batch_behaviour import unsteady_outputs
from apps.agents.evaluation.fidelity import OutputFidelity, finite_parts, finite_places, may_differ, visible
from apps.agents.measuring.engine import Feeds, Outputs, Run, fixed_batch, run_portions


def in_portions(run: Run, feeds: Feeds, summary: ModelSummary, layout: Layout) -> Outputs:
    """The outputs for `feeds`, in portions if the model takes a fixed batch and `feeds` has another number of rows.

    Raises `OutputsDiffer` if the portions cannot be put together again.
    """
    batch = fixed_batch(summary.inputs, layout)
    if batch is None or layout.rows(feeds) == batch:
        return run(feeds)
    outputs = [output for output in run_portions(run, feeds, batch, layout) if output is not None]
    if len(outputs) < len(summary.outputs):
        raise OutputsDiffer(
            reason=f"it takes batches of {batch}, but one of its outputs does not have one entry per example"
        )
    return outputs


def candidate_outputs(run: Run, feeds: Feeds, summary: ModelSummary, layout: Layout, label: str) -> Outputs:
    try:
        return in_portions(run, feeds, summary, layout)
    except (ModelRunFailed, OutputsDiffer) as error:
        raise TechniqueInvalidOutput(technique=label, reason=error.message) from error


class Comparison:
    """Compares the outputs of the input model and of the artifact batch by batch, without entries for padding.

    Only the judged output must always have the input model's shape. The number of entries of any other output may
    depend on the examples. Outputs that the input model itself does not reproduce are not compared.
    """

    def __init__(self, label: str, outputs: Sequence[TensorSpec], dataset: Dataset) -> None:
        self._label = label
        self._outputs = outputs
        self._meters = [OutputFidelity(output.name) for output in outputs]
        self._judged = judged_output(outputs, dataset.spec.output).name
        self._layout = dataset.layout
        self._unsteady: frozenset[int] | None = None
        self._unlike: set[str] = set()
        self._examples = 0

    def know(self, original: Run, feeds: Feeds) -> None:
        """Find out, on the first batch, which outputs the input model does not reproduce."""
        if self._unsteady is None:
            self._unsteady = frozenset(unsteady_outputs(original, feeds))

    def add(self, before: Outputs, after: Outputs, feeds: Feeds) -> None:
        """Add a batch. Raises `TechniqueInvalidOutput` for different shapes, and for new NaN or infinite values."""
        self._examples += self._layout.rows(feeds)
        shown = (visible(outputs, self._outputs, feeds) for outputs in (before, after))
        for place, (meter, a, b) in enumerate(zip(self._meters, *shown, strict=True)):
            assert a is not None  # Every output was computed.
            assert b is not None
            output = self._outputs[place]
            if a.shape != b.shape and output.name != self._judged and may_differ(output, a.shape, b.shape):
                self._unlike.add(meter.name)
                continue
            if a.shape != b.shape:
                reason = f"output {meter.name!r} has the shape {list(b.shape)} instead of {list(a.shape)}"
                raise TechniqueInvalidOutput(technique=self._label, reason=reason)
            if a.dtype.kind != "f" or not finite_places(a).any() or place in (self._unsteady or ()):
                continue
            finite = finite_parts(a, b)
            if finite is None:
                where = "where the input model has none" if finite_places(a).all() else "at other positions than before"
                reason = f"output {meter.name!r} has NaN or infinite values {where}"
                raise TechniqueInvalidOutput(technique=self._label, reason=reason)
            meter.add(*(part.reshape(max(1, len(part) if part.ndim else 1), -1) for part in finite))

    def sentence(self, lowest_sqnr_db: float | None) -> str:
        """The result in a sentence. Raises `TechniqueInvalidOutput` if the outputs agree less than promised."""
        measured = [meter for meter in self._meters if meter.elements]
        if not measured:
            return f"It runs on {self._examples} calibration examples. None of its outputs has finite floats."
        worst = min(measured, key=lambda meter: meter.sqnr_db)
        # A signal of only zeros does not have a ratio; then the error itself must be negligible.
        if lowest_sqnr_db is not None and worst.sqnr_db < lowest_sqnr_db and worst.max_abs_error > 1e-6:
            reason = (
                f"output {worst.name!r} should be the same but differs by up to {worst.max_abs_error:.3g} "
                f"({worst.sqnr_db:.1f} dB)"
            )
            raise TechniqueInvalidOutput(technique=self._label, reason=reason)
        other = f"; {', '.join(sorted(self._unlike))} had a different number of entries" if self._unlike else ""
        return (
            f"On {self._examples} calibration examples its outputs are finite, with {worst.sqnr_db:.1f} dB of signal "
            f"to quantization noise{other}."
        )
