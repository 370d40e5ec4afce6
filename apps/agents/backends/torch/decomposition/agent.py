"""Low-rank decomposition of a PyTorch program without training: measures its layers, chooses ranks, replaces them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from apps.agents.backends.torch.decomposition.layers import Layers, TorchLayer, hooked, layers_of, rows_of
from apps.agents.backends.torch.decomposition.measuring import TorchMeasurer
from apps.agents.backends.torch.decomposition.modules import replaced
from apps.agents.backends.torch.engine import use_threads
from apps.agents.backends.torch.loading import load_model
from apps.agents.backends.torch.model import TorchModel
from apps.agents.backends.torch.pruning.program import to_cut
from apps.agents.backends.torch.pruning.workload import workload_of
from apps.agents.backends.torch.saving import save_model
from apps.agents.backends.torch.training.module import to_save, trainable
from apps.agents.measuring.engine import Feeds
from apps.agents.measuring.statistics.moments import Moments
from apps.agents.techniques.base import Assignment
from apps.agents.techniques.channel_pruning.row_sample import RowSample
from apps.agents.techniques.decomposition.agent import CompressionAgent, FittedFactor, Plan, Tell
from apps.agents.techniques.decomposition.layer import DenseLayer
from apps.agents.techniques.decomposition.spread import ROWS_PER_FEATURE, Spread, in_memory
from apps.agents.techniques.reduction import Workload

ROWS = 2
BATCH = 16


class Decomposition(CompressionAgent):
    """Replaces convolutions and linear layers of an exported program."""

    _model: TorchModel
    _layers: Layers
    _whole: Workload

    def open(self, assignment: Assignment) -> None:
        use_threads(assignment.threads)
        feeds = next(assignment.batches(ROWS, ROWS))
        loaded = load_model(assignment.model, assignment.scratch)
        self._model = to_cut(loaded, feeds, assignment.scratch, assignment.spec.label)
        rows = assignment.dataset.layout.rows(feeds)
        self._layers = layers_of(self._model.module, lambda: self._model.run(feeds), rows)
        self._whole = self._workload(self._model, assignment, feeds)

    def layers(self) -> tuple[Sequence[DenseLayer], Mapping[str, str]]:
        return [layer.dense for layer in self._layers.found], self._layers.left

    def whole(self) -> Workload:
        return self._whole

    def spreads(self, assignment: Assignment) -> Iterator[Spread]:
        for group in in_memory(self._layers.found, lambda layer: layer.dense):
            seen = self._moments(assignment, group)
            while seen:
                one = seen.pop(0)
                yield Spread(one.gram[0], one.mean_x[0])

    def measurer(self, assignment: Assignment) -> TorchMeasurer:
        by_name = {layer.name: layer for layer in self._layers.found}
        return TorchMeasurer(self._model, by_name, _batches(assignment), assignment.threads)

    def make(self, assignment: Assignment, plan: Plan, tell: Tell) -> tuple[Path, list[FittedFactor]]:
        """Last factors are as the covariances of the original's inputs give them."""
        measurer = self.measurer(assignment)
        made = {
            name: measurer.replacement(plan.chooser.factorizer(name), plan.chooser.factors(name, option))
            for name, option in plan.choice.replaced.items()
        }
        tell(0.0, "writing the program")
        module = replaced(self._model.module, made)
        return save_model(to_save(replace(self._model, module=module)), assignment.out), []

    def recount(self, assignment: Assignment, artifact: Path) -> Workload:
        feeds = next(assignment.batches(ROWS, ROWS))
        model = trainable(load_model(artifact, assignment.scratch), assignment.spec.label)
        return self._workload(model, assignment, feeds)

    def _workload(self, model: TorchModel, assignment: Assignment, feeds: Feeds) -> Workload:
        """Without channels, which factors add to."""
        given = model.tensors(feeds)
        tensors = tuple(given[one.name] for one in model.summary.inputs)
        found = workload_of(model.module, tensors, assignment.dataset.layout.rows(feeds))
        return replace(found, channels=None)

    def _moments(self, assignment: Assignment, group: Sequence[TorchLayer]) -> list[Moments]:
        """Of the rows that each layer multiplies."""
        known = {layer.part: place for place, layer in enumerate(group)}
        seen = [Moments() for _ in group]
        examples = _examples(assignment)
        samples = [
            RowSample(layer.dense.matrix.shape[1], examples, assignment.seed, per_feature=ROWS_PER_FEATURE)
            for layer in group
        ]

        def observe(part: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
            place = known[part]
            rows = rows_of(part, given[0], group[place].dense.kernel)
            flat = rows.reshape(-1, rows.shape[-1])
            chosen = flat[samples[place].of(len(rows))(len(flat))][None]
            seen[place].add(np.ascontiguousarray(chosen), chosen[:, :, :1])

        with hooked(list(known), observe), torch.no_grad():
            for feeds in _batches(assignment)(examples):
                self._model.run(feeds)
        return seen


def _examples(assignment: Assignment) -> int:
    return min(int(assignment.parameters["calibration_examples"]), len(assignment.dataset.calibration_indices))


def _batches(assignment: Assignment) -> Callable[[int], Iterator[Feeds]]:
    return lambda count: assignment.batches(min(count, _examples(assignment)), BATCH)
