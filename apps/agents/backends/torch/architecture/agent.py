"""Architecture search as a technique for PyTorch programs."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from apps.agents.backends.torch.architecture.searchable_model import TorchSearchableModel, progress_in
from apps.agents.backends.torch.architecture.subnetworks import Subnetworks, Wish, anatomy_of, places_of, rounding
from apps.agents.backends.torch.architecture.supernet import Anatomy, Supernet
from apps.agents.backends.torch.architecture.timing import Stopwatch
from apps.agents.backends.torch.engine import use_threads
from apps.agents.backends.torch.loading import load_model
from apps.agents.backends.torch.model import TorchModel
from apps.agents.backends.torch.pruning.gradients import gradients_of
from apps.agents.backends.torch.pruning.importance import SCALE, TAYLOR, has_scales
from apps.agents.backends.torch.pruning.program import to_cut
from apps.agents.backends.torch.pruning.workload import workload_of
from apps.agents.backends.torch.training.module import trainable
from apps.agents.backends.torch.training.precision import reproducible
from apps.agents.contracts.context import Context
from apps.agents.contracts.errors.techniques import (
    TechniqueLibraryFailed,
    TechniqueNotApplicable,
    TechniqueNothingToSearch,
    TechniqueNotTraceable,
)
from apps.agents.techniques.architecture.agent import ArchitectureSearchAgent
from apps.agents.techniques.architecture.progress import Progress
from apps.agents.techniques.architecture.searchable_model import SearchableModel
from apps.agents.techniques.base import Applied, Assignment
from apps.agents.techniques.reduction import Workload
from apps.agents.techniques.training.threads import training_threads

ROWS = 2


class TorchArchitectureSearch(ArchitectureSearchAgent):
    """Searches the sub-networks of a program or a state dict."""

    def apply(self, assignment: Assignment, context: Context) -> Applied:
        use_threads(training_threads(assignment.parameters))
        with reproducible(_device()):
            return super().apply(assignment, context)

    def open(self, assignment: Assignment, checkpoint: Path | None) -> tuple[SearchableModel, Progress]:
        use_threads(training_threads(assignment.parameters))
        label, feeds = assignment.spec.label, next(assignment.batches(ROWS, ROWS))
        model = _traced(assignment)
        given, rows = model.tensors(feeds), assignment.dataset.layout.rows(feeds)
        tensors = tuple(given[one.name] for one in model.summary.inputs)
        progress = Progress(int(assignment.parameters["round_to"])) if checkpoint is None else progress_in(checkpoint)
        if not progress.multiple:
            found = rounding(places_of(model.module, tensors, rows), Stopwatch(assignment.threads))
            progress.multiple, progress.costs = found
        anatomy = _anatomy(model, tensors, rows, assignment, progress.multiple)
        if anatomy.space.size < 2:
            reason = "no layer can lose channels, heads or kernel rims, and no block can be skipped"
            raise TechniqueNothingToSearch(technique=label, reason=reason)
        subnetworks = Subnetworks(model, Supernet(model.module, anatomy), tensors, rows)
        return TorchSearchableModel(assignment, subnetworks, _device()), progress

    def count(self, assignment: Assignment, artifact: Path) -> Workload:
        feeds = next(assignment.batches(ROWS, ROWS))
        model = trainable(load_model(artifact, assignment.scratch), assignment.spec.label)
        given = model.tensors(feeds)
        tensors = tuple(given[one.name] for one in model.summary.inputs)
        return workload_of(model.module, tensors, assignment.dataset.layout.rows(feeds))


def _traced(assignment: Assignment) -> TorchModel:
    """The model as modules in a graph. Raises `TechniqueNotTraceable`."""
    feeds, label = next(assignment.batches(ROWS, ROWS)), assignment.spec.label
    loaded = load_model(assignment.model, assignment.scratch)
    try:
        return to_cut(loaded, feeds, assignment.scratch, label)
    except TechniqueLibraryFailed as error:
        reason = str(error.context["reason"])
        raise TechniqueNotTraceable(technique=label, reason=reason) from error


def _anatomy(
    model: TorchModel, tensors: tuple[torch.Tensor, ...], rows: int, assignment: Assignment, multiple: int
) -> Anatomy:
    parameters, label = assignment.parameters, assignment.spec.label
    importance = str(parameters["importance"])
    if importance == SCALE and not has_scales(model.module):
        reason = "it has no batch norms whose scales could rank channels; choose another importance"
        raise TechniqueNotApplicable(technique=label, reason=reason)
    learn = gradients_of(model, assignment) if importance == TAYLOR else _nothing
    wish = Wish(
        multiple=multiple,
        narrowest=float(parameters["narrowest"]),
        heads=bool(parameters["heads"]),
        kernels=bool(parameters["kernels"]),
        blocks=bool(parameters["blocks"]),
        importance=importance,
    )
    return anatomy_of(model.module, tensors, rows, wish, learn)


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _nothing(module: nn.Module) -> None:
    """For criteria that need only weights, not gradients."""
