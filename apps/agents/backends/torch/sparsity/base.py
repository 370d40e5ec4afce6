"""What the sparsity techniques have in common, from the forecast to the recount of the artifact."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor, nn

from apps.agents.backends.torch.engine import use_threads
from apps.agents.backends.torch.loading import load_model
from apps.agents.backends.torch.model import TorchModel
from apps.agents.backends.torch.saving import save_model
from apps.agents.backends.torch.sparsity.counting import counted
from apps.agents.backends.torch.sparsity.layers import layers_of, require_whole_groups
from apps.agents.backends.torch.sparsity.methods import matrix
from apps.agents.backends.torch.sparsity.patterns import Pattern
from apps.agents.backends.torch.training.module import to_save, trainable
from apps.agents.contracts.context import Context
from apps.agents.contracts.formats import Format
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.files.compressed_size import compressed_sizes
from apps.agents.techniques.base import Applied, Assignment
from apps.agents.techniques.pruning import PruningAgent
from apps.agents.techniques.reduction import Reduction, Workload


@dataclass
class Subject:
    """The model being pruned, with the layers that take part."""

    model: TorchModel
    layers: dict[str, nn.Module]
    patterns: dict[str, Pattern]
    """By layer."""
    before: Workload


class Sparsity(PruningAgent):
    """Sets weights to zero in place, so file size and the speed of dense kernels stay the same."""

    kernels = False
    """Whether convolutions take part."""
    _subject: Subject

    @abstractmethod
    def prune(self, subject: Subject, assignment: Assignment, context: Context) -> None:
        """Put zeros into the layers' weights, in each layer's pattern."""

    def check(self, assignment: Assignment, context: Context) -> None:
        """Also opens the model. Raises `TechniquePattern` if rows cannot be divided into groups."""
        super().check(assignment, context)
        use_threads(assignment.threads)
        self._subject = self._opened(assignment)

    def _opened(self, assignment: Assignment) -> Subject:
        parameters, label = assignment.parameters, assignment.spec.label
        pattern = Pattern.named(str(parameters["pattern"]), float(parameters["sparsity"]))
        model = _with_layers(load_model(assignment.model, assignment.scratch), label)
        kernels = self.kernels and pattern.group is None
        layers = layers_of(model, [str(name) for name in parameters["keep_dense"]], label, kernels=kernels)
        require_whole_groups(layers, pattern.group, label)
        return Subject(model, layers, dict.fromkeys(layers, pattern), _counted(model, assignment))

    def stores_zeros(self, assignment: Assignment) -> bool:
        return True

    def forecast(self, assignment: Assignment) -> Reduction:
        subject = self._subject
        zeros = sum(subject.patterns[name].zeros(layer.weight.numel()) for name, layer in subject.layers.items())
        before = subject.before
        return Reduction(before, replace(before, parameters=before.parameters - zeros))

    def apply(self, assignment: Assignment, context: Context) -> Applied:
        subject = self._subject
        self.prune(subject, assignment, context)
        shares = {name: share_of_zeros(layer) for name, layer in subject.layers.items()}
        made = save_model(to_save(subject.model), assignment.out)
        return Applied(made, {"pattern": assignment.parameters["pattern"], "zeros_share": shares})

    # --- the artifact -------------------------------------------------------------------------------------------------

    def pattern_fault(self, assignment: Assignment, artifact: Path) -> str | None:
        """The first layer of the artifact with too few zeros, or too many weights in a group."""
        layers = dict(self._reopened(assignment, artifact).module.named_modules())
        for name, pattern in self._subject.patterns.items():
            if fault := pattern.fault(matrix(layers[name])):
                return f"in layer {name}, {fault}"
        return None

    def reduction(self, assignment: Assignment) -> Reduction:
        made = self._reopened(assignment, next(assignment.out.iterdir()))
        return Reduction(self._subject.before, _counted(made, assignment))

    def effect(self, assignment: Assignment, before: ModelSummary, after: ModelSummary) -> str:
        """Also how many of the layers' weights are zero."""
        layers = self._subject.layers.values()
        weights = sum(layer.weight.numel() for layer in layers)
        left = sum(int(layer.weight.count_nonzero()) for layer in layers)
        words = f"{1 - left / weights:.2%} of the weights in {len(layers)} layers are zero"
        groups = " (two of every four neighbours)" if assignment.parameters["pattern"] == "2:4" else ""
        return f"{words}{groups}. {super().effect(assignment, before, after)}"

    def sizes(self, assignment: Assignment, artifact: Path) -> dict[str, int]:
        compressed = {str(coding): size_bytes for coding, size_bytes in compressed_sizes(artifact).items()}
        return {"dense": artifact.stat().st_size, **compressed}

    def _reopened(self, assignment: Assignment, artifact: Path) -> TorchModel:
        return _with_layers(load_model(artifact, assignment.scratch), assignment.spec.label)


def _with_layers(model: TorchModel, label: str) -> TorchModel:
    """The model with its layers as modules. Raises `ModelNotTrainable` if none of a program can be rebuilt."""
    return trainable(model, label) if model.format is Format.TORCH_EXPORT else model


def _counted(model: TorchModel, assignment: Assignment) -> Workload:
    feeds = next(assignment.batches(1, 1))
    return counted(model, feeds, assignment.dataset.layout.rows(feeds))


def share_of_zeros(layer: nn.Module) -> float:
    """The share of zeros among the layer's weights, from 0 to 1."""
    weight: Tensor = layer.weight
    return float((weight == 0).double().mean())
