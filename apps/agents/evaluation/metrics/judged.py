"""The part of a batch's outputs that a scorer reads."""

from __future__ import annotations

import numpy as np

from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.reports.dataset import Task
from apps.agents.evaluation.metrics.comparing import Array
from apps.agents.evaluation.metrics.embedding import pooled


def judged(output: Array, spec: DatasetSpec, mask: Array | None) -> Array:
    """`output`, pooled as the spec demands. `mask` `[rows, tokens]` is 0 for padding, which is not compared."""
    if spec.task is not Task.FIDELITY or mask is None or output.ndim != 3 or output.shape[:2] != mask.shape:
        return pooled(output, spec.pooling, mask)
    return pooled(np.where(mask[:, :, np.newaxis].astype(bool), output, 0), spec.pooling, mask)
