"""Shrinkage: how far few measurements move an expectation.

The logarithm of measured over expected is a bias of the kind plus chance: between sessions, with variance σ², and
within one measurement, with its squared standard error. Biases vary from kind to kind with variance τ² around that of
the broader kind. Then the best linear estimate of a bias is the mean over sessions times n / (n + k), with k = σ²/τ²,
the empirical Bayes form of James–Stein shrinkage (Efron and Morris 1973; Morris 1983, "Parametric Empirical Bayes
Inference"). A session counts as the similarity of its network and machine, so n is the sum of similarities; a
measurement with standard error s counts as σ²/(σ² + s²) of one without error (DerSimonian and Laird 1986).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

K = 1.0
"""σ²/τ²: how many sessions weigh as much as the tables. `benchmarks/memory` estimates it from recorded speed-ups: 0.2
over six networks, 1.2 over the convolutional ones among them. Near the larger, the tables are trusted longer."""
SPREAD = 0.2
"""σ: how much the logarithm of measured over expected varies between sessions of one kind."""
LOSS_SPREAD = 0.5
"""The same for losses."""


@dataclass(frozen=True)
class Observation:
    """What one candidate showed: the logarithm of measured over expected, and how much it counts."""

    session: str
    log_ratio: float
    similarity: float
    error: float = 0.0
    """The standard error of `log_ratio`; 0 if it is exact."""
    spread: float = SPREAD
    """The σ of such numbers."""

    @property
    def reliability(self) -> float:
        return self.spread**2 / (self.spread**2 + self.error**2)


@dataclass(frozen=True)
class Shrunk:
    """A bias, as a logarithm, and how much of it is experience: from 0 to 1."""

    log_ratio: float = 0.0
    weight: float = 0.0


def shrunk(observations: Iterable[Observation], towards: Shrunk, k: float = K) -> Shrunk:
    """The bias after these observations, if it would be `towards` without them. Candidates of one session count once.

    The new weight is that of the observations and, for the rest, that of `towards`.
    """
    by_session: dict[str, list[Observation]] = {}
    for one in observations:
        by_session.setdefault(one.session, []).append(one)
    sessions = [_of_session(found) for found in by_session.values()]
    count = sum(weight for _, weight in sessions)
    if count <= 0:
        return towards
    mean = sum(ratio * weight for ratio, weight in sessions) / count
    own = count / (count + k)
    return Shrunk(towards.log_ratio + own * (mean - towards.log_ratio), own + (1 - own) * towards.weight)


def _of_session(found: list[Observation]) -> tuple[float, float]:
    """The mean of a session's candidates, and how much the session counts."""
    total = sum(one.reliability for one in found)
    mean = sum(one.log_ratio * one.reliability for one in found) / total
    return mean, max(one.similarity * one.reliability for one in found)
