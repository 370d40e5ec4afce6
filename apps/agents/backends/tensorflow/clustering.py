"""Weight clustering for Keras 3: the weights of each kernel share a few values, found by k-means.

Method: Han et al. 2016, https://arxiv.org/abs/1510.00149. The file does not store a codebook: the dense file keeps its
size, and only compressed forms shrink, which are reported separately.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from apps.agents.backends.tensorflow.keras_technique import KerasTechnique
from apps.agents.contracts.context import Context
from apps.agents.contracts.errors.techniques import TechniqueNoEffect
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.techniques.base import Applied, Assignment

MOST_ROUNDS = 50
_SETTLED = 1e-7


class WeightClustering(KerasTechnique):
    """Each weight becomes the nearest of its kernel's centroids."""

    _most_values: int

    def apply(self, assignment: Assignment, context: Context) -> Applied:
        model, clusters = self.keras(assignment), int(assignment.parameters["clusters"])
        kernels = self.kernels(model, assignment)
        for done, weight in enumerate(kernels):
            weight.assign(clustered(weight.numpy(), clusters))
            context.progress((done + 1) / len(kernels), f"kernel {done + 1} of {len(kernels)}")
        self._most_values = max(len(np.unique(weight.numpy())) for weight in kernels)
        return self.finished(model, assignment, {"most_values": self._most_values})

    def effect(self, assignment: Assignment, before: ModelSummary, after: ModelSummary) -> str:
        """Check that no kernel has more values than clusters."""
        clusters = int(assignment.parameters["clusters"])
        if self._most_values > clusters:
            reason = f"a kernel has {self._most_values} values, but {clusters} clusters were requested"
            raise TechniqueNoEffect(technique=assignment.spec.label, reason=reason)
        return f"Each kernel has at most {self._most_values} values."


def clustered(kernel: Any, clusters: int) -> Any:
    """`kernel` with each number replaced by its cluster's mean.

    Lloyd's algorithm on a line, from centroids spread evenly over the range, which preserves large weights better than
    random ones (Han et al., section 3.2). The same kernel gives the same result.
    """
    values = np.sort(kernel.astype(np.float64).ravel())
    centroids = np.linspace(values[0], values[-1], min(clusters, len(np.unique(values))))
    totals = np.concatenate([[0.0], np.cumsum(values)])
    for _ in range(MOST_ROUNDS):
        borders = np.searchsorted(values, (centroids[1:] + centroids[:-1]) / 2)
        edges = np.concatenate([[0], borders, [len(values)]])
        counts = np.diff(edges)
        means = np.where(counts > 0, np.diff(totals[edges]) / np.maximum(counts, 1), centroids)
        moved = float(np.abs(means - centroids).max())
        centroids = means
        if moved <= _SETTLED:
            break
    nearest = np.searchsorted((centroids[1:] + centroids[:-1]) / 2, kernel)
    return centroids[nearest].astype(kernel.dtype)
