"""The base class of techniques whose weights share a few values: which tensors, the codebooks, and the recount.

Method: Han et al. 2016 (Deep Compression), https://arxiv.org/abs/1510.00149, without its training. The artifact is an
ordinary model whose weights are stored in floats, so it keeps its size and its speed; its download shrinks.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

from apps.agents.contracts.context import Context
from apps.agents.contracts.errors.techniques import (
    TechniqueInvalidOutput,
    TechniqueNothingToCluster,
    TechniqueParameters,
    TechniqueQuantizedModel,
)
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.files.compressed_size import compressed_sizes
from apps.agents.techniques.base import Applied, Assignment, BaseOptimizationAgent, Estimated
from apps.agents.techniques.clustering.k_means import Codebook, Floats, clustered, codebook_of
from apps.agents.techniques.reduction import quantized

MOST_TENSORS = 200
_MADE = 0.95
"""The progress when the artifact is written."""
_KEPT = "keep_float_nodes"


class ClusteringAgent(BaseOptimizationAgent):
    """Each weight becomes the nearest of its tensor's centroids. A subclass opens, changes and writes its models."""

    _codebooks: tuple[Codebook, ...]

    # --- what a backend supplies --------------------------------------------------------------------------------------

    @abstractmethod
    def open(self, assignment: Assignment) -> None:
        """Opens the model to be changed."""

    @abstractmethod
    def layers(self) -> frozenset[str]:
        """The names of the opened model's layers, of which `keep_float_nodes` may keep some."""

    @abstractmethod
    def tensors(self, kept: frozenset[str]) -> Iterator[tuple[str, Floats]]:
        """The weights of the opened model by name: of two axes or more, in floats, and read by no layer in `kept`."""

    @abstractmethod
    def store(self, weights: Mapping[str, Floats]) -> None:
        """Replaces weights of the opened model."""

    @abstractmethod
    def save(self, assignment: Assignment) -> Path:
        """Writes the artifact."""

    @abstractmethod
    def reopen(self, assignment: Assignment, artifact: Path) -> None:
        """Opens the artifact in place of the model."""

    # --- the order ----------------------------------------------------------------------------------------------------

    def check(self, assignment: Assignment, context: Context) -> None:
        """Also opens the model. Raises `TechniqueQuantizedModel`, `TechniqueParameters` for an unknown layer, and
        `TechniqueNothingToCluster` if every tensor has few values already."""
        super().check(assignment, context)
        label = assignment.spec.label
        if how := quantized(assignment.engine().summary):
            raise TechniqueQuantizedModel(technique=label, how=how)
        self.open(assignment)
        if unknown := sorted(_kept(assignment) - self.layers()):
            raise TechniqueParameters(reason=f"{_KEPT}: the model has no layer {unknown[0]!r}", field="parameters")
        found = [codebook_of(name, weights) for name, weights in self.tensors(_kept(assignment))]
        clusters = int(assignment.parameters["clusters"])
        if not any(one.values > clusters for one in found):
            most = max((one.values for one in found), default=0)
            reason = f"none of its {len(found)} stored weights has more than {most} values" if found else _NONE
            raise TechniqueNothingToCluster(technique=label, clusters=clusters, reason=reason)

    def estimate(self, assignment: Assignment) -> Estimated:
        return Estimated(1.0, "weights keep their places and their number type; only compressed files become smaller")

    def apply(self, assignment: Assignment, context: Context) -> Applied:
        names = [name for name, _ in self.tensors(_kept(assignment))]
        clusters = int(assignment.parameters["clusters"])
        shared = {}
        for done, (name, weights) in enumerate(self.tensors(_kept(assignment))):
            context.progress(_MADE * done / len(names), f"clustering {name}")
            shared[name] = clustered(weights, clusters)
        self.store(shared)
        artifact = self.save(assignment)
        self.reopen(assignment, artifact)
        self._codebooks = tuple(codebook_of(name, weights) for name, weights in self.tensors(_kept(assignment)))
        return Applied(artifact, {"codebooks": [asdict(one) for one in self._codebooks[:MOST_TENSORS]]})

    def effect(self, assignment: Assignment, before: ModelSummary, after: ModelSummary) -> str:
        """Counted on the artifact. Raises `TechniqueInvalidOutput` if a tensor has more values than clusters."""
        clusters = int(assignment.parameters["clusters"])
        most = max(self._codebooks, key=lambda one: one.values)
        if most.values > clusters:
            reason = f"{most.name} has {most.values} values, but {clusters} clusters were requested"
            raise TechniqueInvalidOutput(technique=assignment.spec.label, reason=reason)
        weights = sum(one.weights for one in self._codebooks)
        bits = sum(one.weights * one.bits_per_weight for one in self._codebooks) / weights
        return (
            f"The {weights:,} weights of {len(self._codebooks)} tensors share at most {most.values} values for each "
            f"tensor; their entropy is {bits:.2f} bits a weight."
        )

    def sizes(self, assignment: Assignment, artifact: Path) -> dict[str, int]:
        compressed = {str(coding): size_bytes for coding, size_bytes in compressed_sizes(artifact).items()}
        return {"dense": artifact.stat().st_size, **compressed}


_NONE = "it has no stored float weights with two axes or more"


def _kept(assignment: Assignment) -> frozenset[str]:
    return frozenset(map(str, assignment.parameters.get(_KEPT, ())))
