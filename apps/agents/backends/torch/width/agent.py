"""Narrower transformers as a technique: finds what can be cut, narrows it, and compares the result."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from apps.agents.backends.torch.engine import use_threads
from apps.agents.backends.torch.folder_quantization import calibration_rows, library_at_work
from apps.agents.backends.torch.loading import load_model
from apps.agents.backends.torch.opening import open_model
from apps.agents.backends.torch.saving import save_model
from apps.agents.backends.torch.transformers_folder import TransformersFolder
from apps.agents.backends.torch.width.blocks import FEATURES, HEADS, Block, Kind, attention, feed_forward
from apps.agents.backends.torch.width.counting import workload
from apps.agents.backends.torch.width.cutting import SAME, cut, difference
from apps.agents.backends.torch.width.expressing import Inexpressible, altered, outline_of
from apps.agents.backends.torch.width.layer_inputs import Row, calls
from apps.agents.backends.torch.width.narrowing import Manner, Narrowed, Narrowing
from apps.agents.contracts.context import Context
from apps.agents.contracts.errors.techniques import TechniqueNotApplicable
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.techniques.base import Applied, Assignment
from apps.agents.techniques.pruning import PruningAgent
from apps.agents.techniques.reduction import Reduction

COMPARED = 4
"""Examples on which the cut model is compared."""
FINDERS: dict[str, Callable[[PreTrainedModel, PretrainedConfig], tuple[Kind, list[Block]]]] = {
    FEATURES: feed_forward,
    HEADS: attention,
}


@dataclass(frozen=True)
class Target:
    """The blocks of one kind, and how many units each keeps."""

    kind: Kind
    blocks: tuple[Block, ...]
    count: int

    @property
    def words(self) -> str:
        before, after = (self.kind.numbers(units) for units in (self.kind.units, self.count))
        changed = (
            f"{name} is {after[name]:,} instead of {before[name]:,}" for name in before if before[name] != after[name]
        )
        return ", ".join(changed)


class WidthPruning(PruningAgent):
    """Narrows feed-forward blocks and attentions, and fits the layers after them again by least squares."""

    folder: TransformersFolder
    targets: tuple[Target, ...]

    def check(self, assignment: Assignment, context: Context) -> None:
        """Also finds what can be cut. Raises `TechniqueNotApplicable` with the reason if nothing can."""
        super().check(assignment, context)
        self.folder = TransformersFolder(open_model(assignment.model, assignment.scratch).path)
        what = assignment.parameters["what"]
        wanted = [name for name in FINDERS if what in (name, "both")]
        self.targets = tuple(self._target(name, assignment) for name in wanted)

    def forecast(self, assignment: Assignment) -> Reduction:
        outline, tokens = self.folder.outline, self._tokens(assignment)
        return Reduction(workload(outline, tokens), workload(self._cut_outline(), tokens))

    def reduction(self, assignment: Assignment) -> Reduction:
        made = TransformersFolder(open_model(next(assignment.out.iterdir()), assignment.scratch).path)
        tokens = self._tokens(assignment)
        return Reduction(workload(self.folder.outline, tokens), workload(made.outline, tokens))

    def effect(self, assignment: Assignment, before: ModelSummary, after: ModelSummary) -> str:
        widths = "; ".join(target.words for target in self.targets)
        return f"{super().effect(assignment, before, after)} In its configuration, {widths}."

    def apply(self, assignment: Assignment, context: Context) -> Applied:
        use_threads(assignment.threads)
        label = assignment.spec.label
        model = load_model(assignment.model, assignment.scratch)
        dtype = model.dtype
        original = _pretrained(model.module).float()
        rows = calibration_rows(assignment)
        with library_at_work(label, assignment.seed):
            blocks = self._in_order(original, rows[0], label)
            student = copy.deepcopy(original)
            found = self._narrowed(Narrowing(original, student, rows, _manner(assignment)), blocks, context)
            made = self._smaller(student, [(block, one) for (block, _), one in zip(blocks, found, strict=True)], label)
            self._compare(student, made, rows[:COMPARED], label)
        context.progress(0.97, "saving")
        saved = save_model(replace(model, module=made.to(dtype)), assignment.out)
        return Applied(saved, {**self.reduction(assignment).evidence(), **self._evidence(found)})

    # --- targets ------------------------------------------------------------------------------------------------------

    def _target(self, name: str, assignment: Assignment) -> Target:
        label, removed = assignment.spec.label, float(assignment.parameters["removed"])
        try:
            kind, blocks = FINDERS[name](self.folder.outline, self.folder.config)
            multiple = int(assignment.parameters["multiple_of"]) if name == FEATURES else 1
            return Target(kind, tuple(blocks), _count(kind, removed, multiple, self.folder.config))
        except Inexpressible as error:
            architecture = self.folder.model_class.__name__
            reason = f"{architecture} cannot lose {_NAMES[name]}: {error}"
            if name == HEADS:
                reason += '. Choose "feed-forward", which keeps the number of heads'
            raise TechniqueNotApplicable(technique=label, reason=reason) from error

    def _cut_outline(self) -> PreTrainedModel:
        return outline_of(self.folder.model_class, altered(self.folder.config, self._numbers))

    @property
    def _numbers(self) -> dict[str, object]:
        """The new numbers in the configuration."""
        return {name: value for target in self.targets for name, value in target.kind.numbers(target.count).items()}

    def _tokens(self, assignment: Assignment) -> int:
        """Tokens of the first calibration example; 1 if the model does not take tokens."""
        feeds = next(assignment.batches(1, 1))
        return int(feeds["input_ids"].shape[1]) if "input_ids" in feeds else 1

    # --- steps --------------------------------------------------------------------------------------------------------

    def _in_order(self, model: nn.Module, row: Row, label: str) -> list[tuple[Block, int]]:
        """The blocks and their new units in the order in which they run. Each must run once."""
        found = {block.reader: (block, target.count) for target in self.targets for block in target.blocks}
        order = calls(model, list(found), row)
        counts = Counter(order)
        if wrong := next((name for name in found if counts[name] != 1), None):
            reason = f"{wrong} runs {counts[wrong]} times for one example, and only layers that run once can be fitted"
            raise TechniqueNotApplicable(technique=label, reason=reason)
        return [found[name] for name in order]

    def _narrowed(self, narrowing: Narrowing, blocks: Sequence[tuple[Block, int]], context: Context) -> list[Narrowed]:
        found = []
        for number, (block, count) in enumerate(blocks):
            context.progress(0.05 + 0.9 * number / len(blocks), f"narrowing {block.reader}")
            found.append(narrowing.narrow(block, count))
        return found

    def _smaller(self, student: PreTrainedModel, kept: Sequence[tuple[Block, Narrowed]], label: str) -> PreTrainedModel:
        try:
            return cut(student, self._numbers, [(block, one.kept) for block, one in kept])
        except (Inexpressible, RuntimeError) as error:
            reason = f"the smaller model cannot be built ({error})"
            raise TechniqueNotApplicable(technique=label, reason=reason) from error

    def _compare(self, student: PreTrainedModel, made: PreTrainedModel, rows: Sequence[Row], label: str) -> None:
        """Raise `TechniqueNotApplicable` if the smaller model differs from the one that ignores the removed units."""
        if (change := difference(student, made, rows)) > SAME:
            reason = (
                f"its outputs differ by {change:.2g} of the largest from those of a model that only ignores what was "
                "to be removed, so something else depends on it"
            )
            raise TechniqueNotApplicable(technique=label, reason=reason)

    def _evidence(self, found: Sequence[Narrowed]) -> dict[str, object]:
        widths = {target.kind.name: [target.kind.units, target.count] for target in self.targets}
        fitted = [
            {"layer": one.reader, "error_before": one.error_before, "error": one.error}
            for one in found
            if one.error is not None
        ]
        return {"widths": widths, "fitted": fitted}


_NAMES = {FEATURES: "features of feed-forward blocks", HEADS: "heads of attention"}


def _count(kind: Kind, removed: float, multiple: int, config: PretrainedConfig) -> int:
    """The number of units nearest to the remaining share, among those that the configuration accepts."""
    wanted = (1 - removed) * kind.units
    choices = sorted(range(multiple, kind.units, multiple), key=lambda units: (abs(units - wanted), units))
    for units in choices:
        try:
            altered(config, kind.numbers(units))
        except Inexpressible as error:
            refused = error
            continue
        return units
    if choices:
        raise refused
    raise Inexpressible(f"each block has {kind.units}, which leaves no smaller multiple of {multiple}")


def _manner(assignment: Assignment) -> Manner:
    parameters = assignment.parameters
    return Manner(parameters["importance"], parameters["compensate"], float(parameters["ridge"]))


def _pretrained(module: nn.Module) -> PreTrainedModel:
    assert isinstance(module, PreTrainedModel), "a transformers folder contains one"
    return module
