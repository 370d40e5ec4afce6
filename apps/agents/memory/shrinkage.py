"""Shrinkage: how far few measurements move an expectation.

The logarithm of measured over expected is a bias of the kind plus chance: between sessions, with variance σ², and
within one measurement, with its squared standard error. Biases vary from kind to kind with variance τ² around that of
the broader kind. Then the best linear estimate of a bias is the mean over sessions times n / (n + k), with k = σ²/τ²,
the empirical Bayes form of James–Stein shrinkage (Efron and Morris 1973; Morris 1983, "Parametric Empirical Bayes
Inference"). A session counts as the similarity of its network and machine, so n is the sum of similarities; a
measurement with standard error s counts as σ²/(σ² + s²) of one without error (DerSimonian and Laird 1986).

What differs from session to session is above all the network. Sessions on the very same network, with the same
parameters on the same machine, differ by chance only, with a variance ε² much smaller than σ². They tell the bias of
this kind on this network, which varies with σ² around that of the kind: its estimate is their mean times P / (P + 1),
where P sums σ²/(ε² + s²) over the sessions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

K = 1.0
"""σ²/τ²: how many sessions weigh as much as the tables. `benchmarks/memory` estimates it from recorded speed-ups: 0.2
over six networks, 1.2 over the convolutional ones among them. Near the larger, the tables are trusted longer."""
SPREAD = 0.2
"""σ: how much the logarithm of measured over expected varies between sessions of one kind."""
LOSS_SPREAD = 0.5
"""The same for losses."""
CHANCE = 0.06
"""ε²/σ²: two sessions that time the same candidate of the same network differ by about 5 %."""


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
    same: bool = False
    """Whether it was measured on the very network, and the very machine if that counts, that is planned for."""

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
    return _moved(_by_session(observations), towards, k)


def seen_here(observations: Iterable[Observation], towards: Shrunk, chance: float = CHANCE) -> Shrunk:
    """The bias on this network after these observations of it, if it would be `towards` without them."""
    sessions = [(ratio, 1 / (chance + 1 / weight - 1)) for ratio, weight in _by_session(observations)]
    return _moved(sessions, towards, 1.0)


def _moved(sessions: Sequence[tuple[float, float]], towards: Shrunk, k: float) -> Shrunk:
    """`towards`, moved to the weighted mean of the sessions' ratios."""
    count = sum(weight for _, weight in sessions)
    if count <= 0:
        return towards
    mean = sum(ratio * weight for ratio, weight in sessions) / count
    own = count / (count + k)
    return Shrunk(towards.log_ratio + own * (mean - towards.log_ratio), own + (1 - own) * towards.weight)


def _by_session(observations: Iterable[Observation]) -> list[tuple[float, float]]:
    """Each session's mean, and how much it counts."""
    by_session: dict[str, list[Observation]] = {}
    for one in observations:
        by_session.setdefault(one.session, []).append(one)
    return [_of_session(found) for found in by_session.values()]


def _of_session(found: list[Observation]) -> tuple[float, float]:
    """The mean of a session's candidates, and how much the session counts."""
    total = sum(one.reliability for one in found)
    mean = sum(one.log_ratio * one.reliability for one in found) / total
    return mean, max(one.similarity * one.reliability for one in found)
