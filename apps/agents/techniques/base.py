"""What every technique has in common: check → estimate → apply → validate, and nothing left behind when one fails.

`BaseOptimizationAgent.run` is a template method. A technique is a class that says how it is applied (`apply`); whatever
else is particular to it (what it needs, what it predicts, how its effect shows) overrides the part of that name. The
agents of a family stand between: `QuantizationAgent` knows how to tell whether weights have become narrower.

Nothing here imports a library of models: models are opened through `apps.agents.measuring.engine`.
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
"""Examples that go through the model together, where it leaves the choice and memory allows."""
NARROWER_BY = 0.97
"""Weights that still take more than this share of their bytes have not been quantized."""
_APPLY_BEGINS, _APPLY_ENDS = 0.1, 0.85
"""Shares of the progress bar."""


@dataclass(frozen=True)
class Assignment:
    """One application of a technique to one model."""

    spec: TechniqueSpec
    parameters: Mapping[str, Any]
    """Complete: what was not given has its default."""
    model: Path
    """The model file as the store keeps it; never changed."""
    dataset: Dataset
    """Bound to the model's inputs."""
    scratch: Path
    """For unpacked and intermediate files."""
    out: Path
    """Where the artifact goes. All in it is removed when the technique fails."""
    seed: int = 0
    threads: int = 1
    batch_divisor: int = 1
    """How many times smaller batches are to be than usual: a former try ran out of memory."""
    format: str = Format.ONNX
    """The model's (`apps.agents.contracts.formats`)."""
    encoder: TextEncoder | None = None
    """The tokenizer that came with the session's original."""
    signature: str | None = None
    """The function that is meant, of a model that offers several."""
    further_inputs: Mapping[str, ModelFile] = field(default_factory=dict)
    """The models that it reads beside that one, by the roles of its spec; never changed."""

    def engine(self) -> Engine:
        """The model, opened anew."""
        return open_engine(self.format, self.model, self.scratch, self.signature)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What the model takes."""
        return tuple(binding.wanted for binding in self.dataset.bindings)

    def batches(self, examples: int, batch: int = BATCH) -> Iterator[Feeds]:
        """Up to `examples` calibration examples in batches that the model takes, one batch in memory at a time.

        A batch has `batch` examples, or fewer where memory is short, or as many as the model is fixed to.
        Raises `TechniqueNotApplicable` where the data set cannot fill one batch of a model whose batch is fixed.
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
            reason = f"it takes batches of {size} only, and the data set has fewer examples for calibration"
            raise TechniqueNotApplicable(technique=self.spec.label, reason=reason)


@dataclass(frozen=True)
class Estimated:
    """What a technique should gain before it is applied; `basis` says where the number comes from."""

    size_ratio: float
    basis: str


@dataclass(frozen=True)
class Applied:
    """What `apply` gives: the artifact, under the assignment's `out`, and what the technique found out on the way."""

    artifact: Path
    evidence: Mapping[str, Any] = field(default_factory=dict)
    """Plain JSON, kept with the result: masks, ranks, multiply-accumulates, what stayed in float."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Values of parameters that were found on the way, with which the same artifact can be made again."""


@dataclass(frozen=True)
class Made:
    """A valid artifact, under the assignment's `out`, and what there is to say about it."""

    artifact: Path
    result: OptimizationResult


class BaseOptimizationAgent(ABC):
    """One technique. The order, the progress and the rollback are kept here; subclasses supply the parts."""

    lowest_sqnr_db: float | None = None
    """The least signal-to-noise ratio of the outputs against the input's, where the technique promises the same."""
    may_fix_batch = False
    """Whether it may hand over a model that takes one example at a time, where its input takes any number."""

    def run(self, assignment: Assignment, context: Context) -> Made:
        """Apply the technique. Raises a `UserError` with its own code, and then leaves no file in `out`."""
        try:
            return self._run(assignment, context)
        except BaseException:
            _empty(assignment.out)
            raise

    def _run(self, assignment: Assignment, context: Context) -> Made:
        label = assignment.spec.label
        context.progress(0.0, f"{label}: checking the model")
        self.check(assignment, context)
        estimated = self.estimate(assignment)
        context.log(f"{label}: {estimated.basis}")
        context.metric("predicted_size_ratio", estimated.size_ratio)
        context.progress(_APPLY_BEGINS, f"{label}: at work")
        applied = self.apply(assignment, _Part(context, label))
        context.progress(_APPLY_ENDS, f"{label}: checking the result")
        made = self._made(assignment, applied, estimated)
        context.metric("size_ratio", made.result.input_size_bytes / made.result.size_bytes)
        context.progress(1.0, f"{label}: done")
        return made

    def _made(self, assignment: Assignment, applied: Applied, estimated: Estimated) -> Made:
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
                f"{ratio:.2f} times smaller, where {estimated.size_ratio:.2f} was predicted.",
                *sizes_said(sizes),
            ),
            sizes=sizes,
            evidence=dict(applied.evidence),
            model=after.model_copy(update={"weights": ()}),
        )
        return Made(artifact, result)

    # --- the parts ----------------------------------------------------------------------------------------------------

    def check(self, assignment: Assignment, context: Context) -> None:
        """Whether the technique can be applied at all, before time is spent. Raises a `UserError` where not."""
        missing = missing_libraries(assignment.spec, installed_versions(assignment.spec.requires))
        if missing:
            raise TechniqueLibraryMissing(technique=assignment.spec.label, libraries=" and ".join(missing))
        if not assignment.spec.takes_strings and (
            reason := strings_against(assignment.engine().summary, assignment.spec)
        ):
            raise TechniqueNotApplicable(technique=assignment.spec.label, reason=reason)

    def estimate(self, assignment: Assignment) -> Estimated:
        """What to expect; by default what the catalogue says."""
        return Estimated(assignment.spec.expectation.size_ratio, "the expectation is the catalogue's")

    @abstractmethod
    def apply(self, assignment: Assignment, context: Context) -> Applied:
        """Make the artifact in `assignment.out`. `context.progress` goes from 0 to 1 here."""

    def effect(self, assignment: Assignment, before: ModelSummary, after: ModelSummary) -> str:
        """A sentence that shows the technique did what it is for. Raises `TechniqueNoEffect` where nothing shows.

        What is the same to the last byte never comes here.
        """
        return "The model is another one than before."

    def sizes(self, assignment: Assignment, artifact: Path) -> dict[str, int]:
        """Bytes of the artifact in other forms, by their names; `dense` is the artifact as it is measured."""
        return {}

    def validate(self, assignment: Assignment, artifact: Path) -> tuple[tuple[str, ...], ModelSummary]:
        """Whether the artifact may be handed over: a sentence for each check that passed, and what the artifact is.

        It loads, has the input's interface, shows the technique's effect, and gives finite outputs of the same shapes
        on calibration examples wherever the input does. Raises `TechniqueInvalidOutput` and `TechniqueNoEffect`.
        """
        label = assignment.spec.label
        before = assignment.engine()
        try:
            after = open_engine(assignment.spec.makes(assignment.format), artifact, assignment.scratch)
            run = after.session(Target(threads=assignment.threads))
        except UserError as error:
            raise TechniqueInvalidOutput(technique=label, reason=error.message) from error
        if digest_of(artifact) == digest_of(assignment.model):
            raise TechniqueNoEffect(technique=label, reason="the model is the same as before, to the last byte")
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
    """What a quantization reaches: bytes of those weights, bytes of all, and the bits each will have with scales."""

    covered_bytes: int
    weight_bytes: int
    bits: float
    stored_bits: float = 32.0
    """Of one of those weights as the model stores it now."""


class QuantizationAgent(BaseOptimizationAgent):
    """Techniques that store numbers in fewer bits. They say what they cover; the gain that allows follows from it."""

    @abstractmethod
    def coverage(self, assignment: Assignment) -> Coverage:
        """The float32 weights that the technique will narrow."""

    def estimate(self, assignment: Assignment) -> Estimated:
        """The size that the bits allow. Raises `TechniqueNotApplicable` where no weight is covered."""
        found = self.coverage(assignment)
        if not found.covered_bytes:
            reason = "no weight of it belongs to an operator that is to be quantized"
            raise TechniqueNotApplicable(technique=assignment.spec.label, reason=reason)
        size_bytes = assignment.engine().summary.size_bytes
        left = max(1.0, size_bytes - found.covered_bytes * (1 - found.bits / found.stored_bits))
        share = found.covered_bytes / max(1, found.weight_bytes)
        basis = f"{share:.0%} of the weights can be stored in {found.bits:.3g} bits instead of {found.stored_bits:g}"
        return Estimated(size_bytes / left, basis)

    def effect(self, assignment: Assignment, before: ModelSummary, after: ModelSummary) -> str:
        """The weights take fewer bytes, by the types they are stored in."""
        wide, narrow = weight_bytes(before), weight_bytes(after)
        if narrow > NARROWER_BY * wide:
            types = ", ".join(f"{count:,} {dtype}" for dtype, count in sorted(after.weight_dtypes.items()))
            reason = f"the weights take {narrow:,.0f} bytes and took {wide:,.0f} before ({types})"
            raise TechniqueNoEffect(technique=assignment.spec.label, reason=reason)
        return f"The weights take {narrow:,.0f} bytes instead of {wide:,.0f}."


# --- the doors --------------------------------------------------------------------------------------------------------


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
    """The technique's implementation, imported now. Raises `TechniqueLibraryMissing` where its library is not here."""
    missing = missing_libraries(spec, installed_versions(spec.requires))
    if missing:
        raise TechniqueLibraryMissing(technique=spec.label, libraries=" and ".join(missing))
    module, _, name = spec.implementation.partition(":")
    return cast(type[BaseOptimizationAgent], getattr(import_module(module), name))()


def sizes_said(sizes: Mapping[str, int]) -> tuple[str, ...]:
    """What a technique's artifact takes in each form: sparsity and clusters shrink only what is compressed."""
    if not sizes:
        return ()
    told = ", ".join(f"{name} {size_bytes:,}" for name, size_bytes in sizes.items())
    return (f"Bytes in each form: {told}. The dense file is what is measured; only what is compressed shrinks.",)


def digest_of(file: Path) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


# --- validation -------------------------------------------------------------------------------------------------------


def interface_difference(before: ModelSummary, after: ModelSummary, *, may_fix_batch: bool = False) -> str | None:
    """What differs between the inputs and outputs of two models, in words; `None` where callers see no difference.

    An axis that was unknown may have become known in an output; one that was free must stay free, but for the batch,
    which may have become 1 where it `may_fix_batch`.
    """
    for kind, old, new in (("input", before.inputs, after.inputs), ("output", before.outputs, after.outputs)):
        if [spec.name for spec in old] != [spec.name for spec in new]:
            return f"its {kind}s are {', '.join(map(str, new))} and were {', '.join(map(str, old))}"
        for wanted, found in zip(old, new, strict=True):
            if may_fix_batch and found.shape[:1] == (1,) and wanted.shape and not isinstance(wanted.shape[0], int):
                wanted = wanted.model_copy(update={"shape": (1, *wanted.shape[1:])})
            if wanted.dtype != found.dtype or not _same_axes(wanted, found, refined=kind == "output"):
                return f"its {kind} {found} was {wanted}"
    return None


def _same_axes(wanted: TensorSpec, found: TensorSpec, *, refined: bool) -> bool:
    if refined and not wanted.shape:  # A shape that the file leaves open.
        return True
    return len(wanted.shape) == len(found.shape) and all(
        old == new or (not isinstance(old, int) and (refined or not isinstance(new, int)))
        for old, new in zip(wanted.shape, found.shape, strict=True)
    )


def _portions(run: Run, feeds: Feeds, summary: ModelSummary, layout: Layout) -> Outputs:
    """The outputs for `feeds`, in portions where the model takes a batch of its own and these are other ones.

    Raises `OutputsDiffer` where portions cannot be put together again.
    """
    batch = fixed_batch(summary.inputs, layout)
    if batch is None or layout.rows(feeds) == batch:
        return run(feeds)
    outputs = [output for output in run_portions(run, feeds, batch, layout) if output is not None]
    if len(outputs) < len(summary.outputs):
        raise OutputsDiffer(
            reason=f"it takes batches of {batch}, and an output of it does not have one entry per example"
        )
    return outputs


def _candidate_outputs(run: Run, feeds: Feeds, summary: ModelSummary, layout: Layout, label: str) -> Outputs:
    try:
        return _portions(run, feeds, summary, layout)
    except (ModelRunFailed, OutputsDiffer) as error:
        raise TechniqueInvalidOutput(technique=label, reason=error.message) from error


class _Comparison:
    """The outputs of the input model and of the artifact, batch by batch, without what stands on padding.

    Only the judged output must have the input's shape whatever the examples are; any other may have as many entries as
    they make it. Outputs that the input model itself never gives twice are compared for nothing.
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
        """Find out on the first batch what the input model does not give twice."""
        if self._unsteady is None:
            self._unsteady = frozenset(unsteady_outputs(original, feeds))

    def add(self, before: Outputs, after: Outputs, feeds: Feeds) -> None:
        """Raises `TechniqueInvalidOutput` for other shapes, and for NaN or infinity where there was none."""
        self._examples += self._layout.rows(feeds)
        shown = (visible(outputs, self._outputs, feeds) for outputs in (before, after))
        for place, (meter, a, b) in enumerate(zip(self._meters, *shown, strict=True)):
            assert a is not None  # What is given is shown.
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
                where = "where the input model has none" if finite_places(a).all() else "at other places than before"
                reason = f"output {meter.name!r} has NaN or infinite values {where}"
                raise TechniqueInvalidOutput(technique=self._label, reason=reason)
            meter.add(*(part.reshape(max(1, len(part) if part.ndim else 1), -1) for part in finite))

    def sentence(self, lowest_sqnr_db: float | None) -> str:
        """What was found. Raises `TechniqueInvalidOutput` where the outputs agree less than promised."""
        measured = [meter for meter in self._meters if meter.elements]
        if not measured:
            return f"It runs on {self._examples} calibration examples; no output of it is a finite float to compare."
        worst = min(measured, key=lambda meter: meter.sqnr_db)
        # A signal of nothing but zeros has no ratio; then the error itself must be nothing to speak of.
        if lowest_sqnr_db is not None and worst.sqnr_db < lowest_sqnr_db and worst.max_abs_error > 1e-6:
            reason = (
                f"output {worst.name!r} should be the same and differs by up to {worst.max_abs_error:.3g} "
                f"({worst.sqnr_db:.1f} dB)"
            )
            raise TechniqueInvalidOutput(technique=self._label, reason=reason)
        other = f"; {', '.join(sorted(self._unlike))} had another number of entries" if self._unlike else ""
        return (
            f"On {self._examples} calibration examples its outputs are finite, with {worst.sqnr_db:.1f} dB of signal "
            f"to quantization noise{other}."
        )


def _full_portions(feeds: Feeds, size: int, layout: Layout) -> Iterator[Feeds]:
    """Portions of exactly `size` rows; what is left over at the end is dropped."""
    rows = layout.rows(feeds)
    for start in range(0, rows - size + 1, size):
        yield layout.take(feeds, range(start, start + size))


def _empty(folder: Path) -> None:
    """Remove what stands in `folder`: an invalid artifact must not be taken for a valid one."""
    for entry in folder.iterdir() if folder.is_dir() else ():
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


@dataclass(frozen=True)
class _Part:
    """The context of `apply`: its progress from 0 to 1 is a part of the whole bar."""

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
