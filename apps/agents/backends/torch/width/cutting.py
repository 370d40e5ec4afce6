"""Builds the smaller model from a configuration with the new numbers and from the remaining weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from apps.agents.backends.torch.width.blocks import Block
from apps.agents.backends.torch.width.expressing import altered
from apps.agents.backends.torch.width.layer_inputs import Row
from apps.agents.backends.torch.width.selection import Units, features_of

SAME = 1e-4
"""The largest difference, as a share of the largest number: the smaller model adds the same terms in another order."""


def cut(student: PreTrainedModel, numbers: Mapping[str, Any], kept: Sequence[tuple[Block, Units]]) -> PreTrainedModel:
    """`student`, which already ignores all units that are not `kept`, without them.

    `numbers` are the new ones of the configuration. Raises `Inexpressible`.
    """
    made = type(student)(altered(student.config, numbers))
    made.load_state_dict(_sliced(student.state_dict(), kept))
    if student.can_generate():
        made.generation_config = student.generation_config
    made.config.use_cache = False
    return made.to(student.dtype).eval()


def _sliced(tensors: Mapping[str, Tensor], kept: Sequence[tuple[Block, Units]]) -> dict[str, Tensor]:
    made = dict(tensors)
    for block, units in kept:
        for layer in block.makers:
            rows = torch.from_numpy(features_of(units, block.sizes[layer]))
            for name in (f"{layer}.weight", f"{layer}.bias"):
                if name in made:
                    made[name] = made[name][rows].clone()
        columns = torch.from_numpy(features_of(units, block.sizes[block.reader]))
        made[f"{block.reader}.weight"] = made[f"{block.reader}.weight"][:, columns].clone()
    return made


def difference(one: PreTrainedModel, other: PreTrainedModel, rows: Sequence[Row]) -> float:
    """The largest difference between two models' first outputs, as a share of the largest number."""
    found = 0.0
    with torch.inference_mode():
        for row in rows:
            a, b = (next(iter(model(**row).values())) for model in (one, other))
            found = max(found, float((a - b).abs().max() / a.abs().max().clamp(min=1e-6)))
    return found
