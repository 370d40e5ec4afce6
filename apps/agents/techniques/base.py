"""The base classes of all techniques: check → estimate → apply → validate. If one fails, no file is left behind.

`BaseOptimizationAgent.run` is a template method. A technique is a subclass that implements `apply`. If it needs more,
predicts something else or shows its effect differently, it overrides `check`, `estimate` or `effect`. In between are
classes for families: `QuantizationAgent` checks that weights have become narrower.

No framework is imported here: models are opened through `apps.agents.measuring.engine`.
"""

from __future__ import annotations

import hashlib
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, cast

from apps.agents.contracts.context import Context
from apps.agents.contracts.criteria import Target
from apps.agents.contracts.errors.evaluation import OutputsDiffer
from apps.agents.contracts.errors.running import ModelRunFailed
from apps.agents.contracts.errors.techniques import (
    TechniqueInvalidOutput,
    TechniqueLibraryMissing,
    TechniqueNoEffect,
    TechniqueNotApplicable,
    TechniqueParameters,
    TechniqueUnknown,
)
from apps.agents.contracts.formats import Format
from apps.agents.contracts.reports.model import ModelSummary, TensorSpec
from apps.agents.contracts.reports.optimization import OptimizationResult
from apps.agents.contracts.text import TextEncoder
from apps.agents.datasets.dataset_fit import judged_output
from apps.agents.datasets.layout import Layout
from apps.agents.datasets.loading import Dataset
from apps.agents.evaluation.batch_behaviour import unsteady_outputs
from apps.agents.evaluation.fidelity import OutputFidelity, finite_parts, finite_places, may_differ, visible
from apps.agents.evaluation.plausibility import weight_bytes
from apps.agents.measuring.engine import Engine, Feeds, Outputs, Run, fixed_batch, open_engine, run_portions
from apps.agents.measuring.machine import LIBRARIES, installed_versions
from apps.agents.measuring.protocol import ModelFile
from apps.agents.techniques.catalogue import TechniqueSpec, catalogue, missing_libraries
from apps.agents.techniques.compatibility import strings_against
from apps.errors import UserError

VALIDATION_EXAMPLES = 16
BATCH = 8
"""Examples per batch, unless the model's batch is fixed or memory is short."""
NARROWER_BY = 0.97
"""Weights that still take more than this share of their bytes have not been quantized."""
_APPLY_BEGINS, _APPLY_ENDS = 0.1, 0.85
"""The part of the progress bar for `apply`."""


@dataclass(frozen=True)
class Assignment:
    """One application of a technique to one model."""

    spec: TechniqueSpec
    parameters: Mapping[str, Any]
    """All parameters, with defaults for those that were not given."""
    model: Path
    """The model's file in the store. It must not be changed."""
    dataset: Dataset
    """The data set, bound to the model's inputs."""
    scratch: Path
    """A folder for unpacked and intermediate files."""
    out: Path
    """The folder for the artifact. If the technique fails, everything in it is removed."""
    seed: int = 0
    threads: int = 1
    batch_divisor: int = 1
    """How many times smaller than usual the batches must be, because an earlier try ran out of memory."""
    format: str = Format.ONNX
    """The model's format (`apps.agents.contracts.formats`)."""
    encoder: TextEncoder | None = None
    """The tokenizer of the session's original, if the data set contains texts."""
    signature: str | None = None
    """The function to use, if the model has several."""
    further_inputs: Mapping[str, ModelFile] = field(default_factory=dict)
    """The other models that it reads, by their roles in its spec. They must not be changed."""

    def engine(self) -> Engine:
        """Opens the model again."""
        return open_engine(self.format, self.model, self.scratch, self.signature)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The model's inputs."""
        return tuple(binding.wanted for binding in self.dataset.bindings)

    def batches(self, examples: int, batch: int = BATCH) -> Iterator[Feeds]:
        """Up to `examples` calibration examples in batches that the model takes, one batch in memory at a time.

        A batch has `batch` examples, fewer if memory is short, or the model's number if its batch is fixed. Raises
        `TechniqueNotApplicable` if the data set has too few examples for one batch of fixed size.
        """
        layout = self.dataset.layout
        fixed = fixed_batch(self.inputs, layout)
        size = fixed or max(1, self.dataset.affordable_batch(batch) // self.batch_divisor)
        given = 0
        for feeds in self.dataset.calibration(max(examples, size), size):
            for portion in [feeds] if fixed is None else _full_portions(feeds, fixed, layout):
                given += 1
                yield portion
        if not given:
            reason = f"it takes only batches of {size}, but the data set has fewer calibration examples"
            raise TechniqueNotApplicable(technique=self.spec.label, reason=reason)


@dataclass(frozen=True)
class Estimated:
    """The predicted gain of a technique before it is applied. `basis` is the source of the number, as a clause."""

    size_ratio: float
    basis: str


@dataclass(frozen=True)
class Applied:
    """The result of `apply`: the artifact, in the assignment's `out`, and what the technique found."""

    artifact: Path
    evidence: Mapping[str, Any] = field(default_factory=dict)
    """Plain JSON, stored with the result: masks, ranks, multiply-accumulates, what stayed in float."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Values of parameters that were found while it was applied. With them, the same artifact can be made again."""


@dataclass(frozen=True)
class Optimized:
    """A validated artifact, in the assignment's `out`, and its report."""

    artifact: Path
    result: OptimizationResult


class BaseOptimizationAgent(ABC):
    """One technique. This class has the order, the progress and the rollback. Subclasses supply the parts."""

    lowest_sqnr_db: float | None = None
    """If the technique promises unchanged outputs: the lowest signal-to-noise ratio to the input model's outputs."""
    may_fix_batch = False
    """Whether its artifact may take only one example at a time although the input model takes any number."""

    def run(self, assignment: Assignment, context: Context) -> Optimized:
        """Apply the technique. If it raises an error, no file is left in `out`. User errors have their own codes."""
        try:
            return self._run(assignment, context)
        except BaseException:
            _empty(assignment.out)
            raise

    def _run(self, assignment: Assignment, context: Context) -> Optimized:
        label = assignment.spec.label
        context.progress(0.0, f"{label}: checking the model")
        self.check(assignment, context)
        estimated = self.estimate(assignment)
        context.log(f"{label}: {estimated.basis}")
        context.metric("predicted_size_ratio", estimated.size_ratio)
        context.progress(_APPLY_BEGINS, f"{label}: applying")
        applied = self.apply(assignment, _Part(context, label))
        context.progress(_APPLY_ENDS, f"{label}: checking the result")
        made = self._made(assignment, applied, estimated)
        context.metric("size_ratio", made.result.input_size_bytes / made.result.size_bytes)
        context.progress(1.0, f"{label}: done")
        return made

    def _made(self, assignment: Assignment, applied: Applied, estimated: Estimated) -> Optimized:
        before, artifact = assignment.engine().summary, applied.artifact
        checks, after = self.validate(assignment, artifact)
        ratio = before.size_bytes / after.size_bytes
        spec, sizes = assignment.spec, self.sizes(assignment, artifact)
        result = OptimizationResult(
            technique=spec.name,
            parameters={**assignment.parameters, **applied.parameters},
            size_bytes=after.size_bytes,
            input_size_bytes=before.size_bytes,
            digest=digest_of(artifact),
            libraries=installed_versions((*LIBRARIES, *(name for name in spec.requires if name not in LIBRARIES))),
            seed=assignment.seed,
            checks=(
                *checks,
                f"It is {ratio:.2f} times smaller; {estimated.size_ratio:.2f} was predicted.",
                *sizes_in_words(sizes),
            ),
            sizes=sizes,
            evidence=dict(applied.evidence),
            model=after.model_copy(update={"weights": ()}),
        )
        return Optimized(artifact, result)

    # --- the parts ----------------------------------------------------------------------------------------------------

    def check(self, assignment: Assignment, context: Context) -> None:
        """Checks, before time is spent, whether the technique can be applied. Raises a `UserError` if it cannot."""
        missing = missing_libraries(assignment.spec, installed_versions(assignment.spec.requires))
        if missing:
            raise TechniqueLibraryMissing(technique=assignment.spec.label, libraries=" and ".join(missing))
        if not assignment.spec.takes_strings and (
            reason := strings_against(assignment.engine().summary, assignment.spec)
        ):
            raise TechniqueNotApplicable(technique=assignment.spec.label, reason=reason)

    def estimate(self, assignment: Assignment) -> Estimated:
        """The predicted gain; by default the catalogue's expectation."""
        return Estimated(assignment.spec.expectation.size_ratio, "the size is the technique's usual one")

    @abstractmethod
    def apply(self, assignment: Assignment, context: Context) -> Applied:
        """Make the artifact in `assignment.out`. `context.progress` goes from 0 to 1 here."""

    def effect(self, assignment: Assignment, before: ModelSummary, after: ModelSummary) -> str:
        """A sentence that shows the technique's effect. Raises `TechniqueNoEffect` if there is none.

        Artifacts with the same bytes as the input model were refused before.
        """
        return "The model was changed."

    def sizes(self, assignment: Assignment, artifact: Path) -> dict[str, int]:
        """Bytes of the artifact in other forms, by name. `dense` is the artifact as it is measured."""
        return {}

    def validate(self, assignment: Assignment, artifact: Path) -> tuple[tuple[str, ...], ModelSummary]:
        """Checks the artifact. Returns a sentence for each check that passed, and the artifact's summary.

        The artifact must load, have the input model's interface, show the technique's effect, and give finite outputs
        of the same shapes on calibration examples wherever the input model does. Raises `TechniqueInvalidOutput` and
        `TechniqueNoEffect`.
        """
        label = assignment.spec.label
        before = assignment.engine()
        try:
            after = open_engine(assignment.spec.makes(assignment.format), artifact, assignment.scratch)
            run = after.session(Target(threads=assignment.threads))
        except UserError as error:
            raise TechniqueInvalidOutput(technique=label, reason=error.message) from error
        if digest_of(artifact) == digest_of(assignment.model):
            raise TechniqueNoEffect(technique=label, reason="the file has the same bytes as before")
        if difference := interface_difference(before.summary, after.summary, may_fix_batch=self.may_fix_batch):
            raise TechniqueInvalidOutput(technique=label, reason=difference)
        shown = self.effect(assignment, before.summary, after.summary)
        original = before.session(Target(threads=assignment.threads))
        fidelity = _Comparison(label, before.summary.outputs, assignment.dataset)
        for feeds in assignment.batches(VALIDATION_EXAMPLES):
            fidelity.know(original, feeds)
            expected = _portions(original, feeds, before.summary, assignment.dataset.layout)
            given = _candidate_outputs(run, feeds, after.summary, assignment.dataset.layout, label)
            fidelity.add(expected, given, feeds)
        checks = ("It loads, with the same inputs and outputs.", shown, fidelity.sentence(self.lowest_sqnr_db))
        return checks, after.summary


@dataclass(frozen=True)
class Coverage:
    """What a quantization covers: bytes of the covered weights, bytes of all weights, and the bits of a covered weight
    afterwards, including scales."""

    covered_bytes: int
    weight_bytes: int
    bits: float
    stored_bits: float = 32.0
    """The bits of a covered weight before."""


class QuantizationAgent(BaseOptimizationAgent):
    """Techniques that store numbers in fewer bits. The predicted gain follows from what they cover."""

    @abstractmethod
    def coverage(self, assignment: Assignment) -> Coverage:
        """The float32 weights that the technique will narrow."""

    def estimate(self, assignment: Assignment) -> Estimated:
        """The size that the bits allow. Raises `TechniqueNotApplicable` if no weight is covered."""
        found = self.coverage(assignment)
        if not found.covered_bytes:
            reason = "none of its weights belongs to an operator that would be quantized"
            raise TechniqueNotApplicable(technique=assignment.spec.label, reason=reason)
        size_bytes = assignment.engine().summary.size_bytes
        left = max(1.0, size_bytes - found.covered_bytes * (1 - found.bits / found.stored_bits))
        share = found.covered_bytes / max(1, found.weight_bytes)
        basis = f"{share:.0%} of the weights can be stored in {found.bits:.3g} bits instead of {found.stored_bits:g}"
        return Estimated(size_bytes / left, basis)

    def effect(self, assignment: Assignment, before: ModelSummary, after: ModelSummary) -> str:
        """A sentence with the bytes of the weights before and after. Raises `TechniqueNoEffect` if they did not
        shrink."""
        wide, narrow = weight_bytes(before), weight_bytes(after)
        if narrow > NARROWER_BY * wide:
            types = ", ".join(f"{count:,} {dtype}" for dtype, count in sorted(after.weight_dtypes.items()))
            reason = f"the weights take {narrow:,.0f} bytes; before, they took {wide:,.0f} ({types})"
            raise TechniqueNoEffect(technique=assignment.spec.label, reason=reason)
        return f"The weights take {narrow:,.0f} bytes instead of {wide:,.0f}."


# --- entry points -----------------------------------------------------------------------------------------------------


def spec_of(technique: str, given: Mapping[str, Any]) -> tuple[TechniqueSpec, dict[str, Any]]:
    """The technique's spec and its complete parameters. Raises `TechniqueUnknown` and `TechniqueParameters`."""
    known = catalogue()
    if technique not in known:
        raise TechniqueUnknown(technique=technique, known=", ".join(sorted(known)), field="technique")
    try:
        return known[technique], known[technique].resolve(given)
    except ValueError as error:
        raise TechniqueParameters(reason=str(error), field="parameters") from error


def agent_for(spec: TechniqueSpec) -> BaseOptimizationAgent:
    """Imports the technique's implementation. Raises `TechniqueLibraryMissing` if a library is not installed."""
    missing = missing_libraries(spec, installed_versions(spec.requires))
    if missing:
        raise TechniqueLibraryMissing(technique=spec.label, libraries=" and ".join(missing))
    module, _, name = spec.implementation.partition(":")
    return cast(type[BaseOptimizationAgent], getattr(import_module(module), name))()


def sizes_in_words(sizes: Mapping[str, int]) -> tuple[str, ...]:
    """The bytes of an artifact in each form, in a sentence: sparse or clustered weights shrink only compressed
    files."""
    if not sizes:
        return ()
    listed = ", ".join(f"{name} {size_bytes:,}" for name, size_bytes in sizes.items())
    return (f"Bytes in each form: {listed}. The dense file is measured. Only compressed files become smaller.",)


def digest_of(file: Path) -> str:
    """The SHA-256 of a file, as 64 hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


# --- validation -------------------------------------------------------------------------------------------------------


def interface_difference(before: ModelSummary, after: ModelSummary, *, may_fix_batch: bool = False) -> str | None:
    """A difference between the inputs and outputs of two models, in words; `None` if callers cannot see one.

    In an output, an unknown axis may have become known. In an input, a free axis must stay free, except the batch,
    which may have become 1 if `may_fix_batch`.
    """
    for kind, old, new in (("input", before.inputs, after.inputs), ("output", before.outputs, after.outputs)):
        if [spec.name for spec in old] != [spec.name for spec in new]:
            return f"its {kind}s are {', '.join(map(str, new))} instead of {', '.join(map(str, old))}"
        for wanted, found in zip(old, new, strict=True):
            if may_fix_batch and found.shape[:1] == (1,) and wanted.shape and not isinstance(wanted.shape[0], int):
                wanted = wanted.model_copy(update={"shape": (1, *wanted.shape[1:])})
            if wanted.dtype != found.dtype or not _same_axes(wanted, found, refined=kind == "output"):
                return f"its {kind} is {found} instead of {wanted}"
    return None


def _same_axes(wanted: TensorSpec, found: TensorSpec, *, refined: bool) -> bool:
    if refined and not wanted.shape:  # A shape that the file leaves open.
        return True
    return len(wanted.shape) == len(found.shape) and all(
        old == new or (not isinstance(old, int) and (refined or not isinstance(new, int)))
        for old, new in zip(wanted.shape, found.shape, strict=True)
    )


def _portions(run: Run, feeds: Feeds, summary: ModelSummary, layout: Layout) -> Outputs:
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


def _candidate_outputs(run: Run, feeds: Feeds, summary: ModelSummary, layout: Layout, label: str) -> Outputs:
    try:
        return _portions(run, feeds, summary, layout)
    except (ModelRunFailed, OutputsDiffer) as error:
        raise TechniqueInvalidOutput(technique=label, reason=error.message) from error


class _Comparison:
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


def _full_portions(feeds: Feeds, size: int, layout: Layout) -> Iterator[Feeds]:
    """Portions of exactly `size` rows. The rest is dropped."""
    rows = layout.rows(feeds)
    for start in range(0, rows - size + 1, size):
        yield layout.take(feeds, range(start, start + size))


def _empty(folder: Path) -> None:
    """Remove everything in `folder`: an invalid artifact must not be mistaken for a valid one."""
    for entry in folder.iterdir() if folder.is_dir() else ():
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


@dataclass(frozen=True)
class _Part:
    """The context for `apply`: its progress from 0 to 1 fills a part of the whole bar."""

    whole: Context
    label: str

    def progress(self, fraction: float, message: str, eta_s: float | None = None) -> None:
        scaled = _APPLY_BEGINS + (_APPLY_ENDS - _APPLY_BEGINS) * min(1.0, max(0.0, fraction))
        self.whole.progress(scaled, f"{self.label}: {message}", eta_s)

    def log(self, message: str, level: Literal["info", "warning", "error"] = "info") -> None:
        self.whole.log(message, level)

    def metric(self, name: str, value: float) -> None:
        self.whole.metric(name, value)

    @property
    def checkpoint(self) -> Path | None:
        return self.whole.checkpoint

    def keep_checkpoint(self, file: Path) -> None:
        self.whole.keep_checkpoint(file)
