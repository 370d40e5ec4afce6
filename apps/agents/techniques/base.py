"""The base classes of all techniques: check → estimate → apply → validate. If one fails, no file is left behind.

`BaseOptimizationAgent.run` is a template method. A technique is a subclass that implements `apply`. If it needs more,
predicts something else or shows its effect differently, it overrides `check`, `estimate` or `effect`. In between are
classes for families: `QuantizationAgent` checks that weights have become narrower.

No framework is imported here: models are opened through `apps.agents.measuring.engine`.
"""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from apps.agents.contracts.context import Context
from apps.agents.contracts.criteria import Target
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
from apps.agents.datasets.layout import Layout
from apps.agents.datasets.loading import Dataset
from apps.agents.evaluation.plausibility import weight_bytes
from apps.agents.files.digest import digest_of
from apps.agents.measuring.engine import Engine, Feeds, fixed_batch, open_engine
from apps.agents.measuring.machine import LIBRARIES, installed_versions
from apps.agents.measuring.protocol import ModelFile
from apps.agents.techniques.apply_context import APPLY_BEGINS, APPLY_ENDS, ApplyContext
from apps.agents.techniques.catalogue import TechniqueSpec, catalogue, missing_libraries
from apps.agents.techniques.compatibility import strings_against
from apps.agents.techniques.interface import interface_difference
from apps.agents.techniques.validation import Comparison, candidate_outputs, in_portions
from apps.errors import UserError

VALIDATION_EXAMPLES = 16
BATCH = 8
"""Examples per batch, unless the model's batch is fixed or memory is short."""
NARROWER_BY = 0.97
"""Weights that still take more than this share of their bytes have not been quantized."""


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
        context.progress(APPLY_BEGINS, f"{label}: applying")
        applied = self.apply(assignment, ApplyContext(context, label))
        context.progress(APPLY_ENDS, f"{label}: checking the result")
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
        fidelity = Comparison(label, before.summary.outputs, assignment.dataset)
        for feeds in assignment.batches(VALIDATION_EXAMPLES):
            fidelity.know(original, feeds)
            expected = in_portions(original, feeds, before.summary, assignment.dataset.layout)
            given = candidate_outputs(run, feeds, after.summary, assignment.dataset.layout, label)
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
    return (f"Bytes in each form: {listed}. The criteria say which of them counts.",)


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
