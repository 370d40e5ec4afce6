"""The learning rate over a training: a linear warm-up, then a cosine down to zero.

Loshchilov and Hutter 2017, https://arxiv.org/abs/1608.03983; Goyal et al. 2017, https://arxiv.org/abs/1706.02677.
"""

from __future__ import annotations

from math import cos, pi


def rate_at(place: float, peak: float, warmup: float) -> float:
    """The rate at `place` in the training, which is 0 at its start and 1 at its end."""
    if place < warmup:
        return peak * place / warmup
    return peak * 0.5 * (1 + cos(pi * min(1.0, (place - warmup) / (1 - warmup))))
