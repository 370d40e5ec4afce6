"""What measured candidates of a session say about others like them: corrections, surprises, losses."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from apps.agents.contracts.loss_limits import planned_limit
from apps.agents.contracts.state import CandidateRecord
from apps.agents.planning.choosing import TYPE_CHOICES, type_choice
from apps.agents.planning.experience import MOSTLY
from apps.agents.planning.ordering import COLLAPSE_POINTS, KNOWN_SURPRISE, surprise_of
from apps.agents.session.candidates import Trial
from apps.agents.session.chances import extremes
from apps.agents.session.overview import Overview

Kind = tuple[str, tuple[str, ...]]


@dataclass(frozen=True)
class Siblings(Overview):
    """The measured candidates of a session, by what they have in common with one that is to come."""

    # --- of the same kind ---------------------------------------------------------------------------------------------

    def _measured(self, candidate: CandidateRecord) -> list[Trial]:
        """The measured candidates of the same kind: the same technique, after the same ones that cut weights."""
        return self._by_kind.get(kind_of(candidate), [])

    @cached_property
    def _by_kind(self) -> Mapping[Kind, list[Trial]]:
        found: dict[Kind, list[Trial]] = defaultdict(list)
        for trial in self.trials:
            if trial.judgement:
                found[kind_of(trial.planned)].append(trial)
        return found

    def _correction(self, candidate: CandidateRecord) -> tuple[float, float]:
        """The mean of measured over predicted speed-up and size ratio, over measured candidates of the same kind."""
        kind = kind_of(candidate)
        if kind not in self._corrections:
            self._corrections[kind] = self._corrected(self._measured(candidate))
        return self._corrections[kind]

    @cached_property
    def _corrections(self) -> dict[Kind, tuple[float, float]]:
        """The answers so far."""
        return {}

    def _corrected(self, measured: Sequence[Trial]) -> tuple[float, float]:
        return (
            _mean_ratio([trial.speedup / trial.planned.predicted.speedup for trial in measured]),
            _mean_ratio([trial.size_ratio / trial.planned.predicted.size_ratio for trial in measured]),
        )

    @cached_property
    def _extremes(self) -> Mapping[Kind, tuple[Trial, ...]]:
        """By kind: of the measured candidates, those with the narrowest and the widest intervals."""
        return {kind: extremes(measured) for kind, measured in self._by_kind.items()}

    # --- with the same number types -----------------------------------------------------------------------------------

    def _is_new_type_choice(self, candidate: CandidateRecord) -> bool:
        """Whether it is a new choice of number types, and fewer than `TYPE_CHOICES` were measured.

        Where earlier sessions make most of its prediction, it has been tried on this kind of network and machine.
        """
        if candidate.predicted.experience >= MOSTLY:
            return False
        choice = self._type_choice(candidate)
        return choice is not None and choice not in self._choices and len(self._choices) < TYPE_CHOICES

    def _type_choice(self, candidate: CandidateRecord) -> tuple[str, ...] | None:
        return type_choice(self.specs.get(candidate.technique), candidate.parameters)

    def _is_known_choice(self, candidate: CandidateRecord) -> bool:
        return self._type_choice(candidate) in self._known_choices

    @cached_property
    def _known_choices(self) -> frozenset[tuple[str, ...] | None]:
        """Number types of measured candidates."""
        return frozenset(self._type_choice(trial.planned) for trial in self.trials if trial.judgement)

    @cached_property
    def _choices(self) -> frozenset[tuple[str, ...]]:
        """Number types that were measured or are being measured."""
        going = [trial for trial in self.trials if trial.started and trial.failed_step is None]
        return frozenset(choice for trial in going if (choice := self._type_choice(trial.planned)))

    def _surprise(self, candidate: CandidateRecord) -> float:
        return KNOWN_SURPRISE if self._is_known_choice(candidate) else surprise_of(candidate.predicted)

    # --- that change the same operators -------------------------------------------------------------------------------

    def _lossy_siblings(self, candidate: CandidateRecord) -> list[Trial]:
        """Candidates that quantize the same operators with the same technique and lost too much."""
        return self._lossy.get(self._scope(candidate), [])

    @cached_property
    def _lossy(self) -> Mapping[Hashable, list[Trial]]:
        """The candidates that lost too much, by what they quantize."""
        found: dict[Hashable, list[Trial]] = defaultdict(list)
        for trial in self.trials:
            if trial.judgement and trial.judgement.loses_metric and trial.planned.technique in self.specs:
                found[self._scope(trial.planned)].append(trial)
        return found

    def _collapsed_siblings(self, candidate: CandidateRecord) -> list[str]:
        """Keys of such candidates that lost several times the limit, if there are at least `TYPE_CHOICES`; else empty.

        Another number type cannot repair such a loss.
        """
        limit = planned_limit(self.state.criteria.constraints)
        if limit is None:
            return []
        hopeless = max(COLLAPSE_POINTS, COLLAPSE_POINTS * limit)
        keys = [trial.key for trial in self._lossy_siblings(candidate) if trial.attempt().drop_points > hopeless]
        return keys if len(keys) >= TYPE_CHOICES else []

    def _scope(self, candidate: CandidateRecord) -> Hashable:
        """Equal for candidates that change the same operators of the same network with the same technique."""
        earlier = candidate.essential_links
        network = self.steps.chain_key(earlier) if earlier else ""
        return candidate.technique, network, self.specs[candidate.technique].knowledge.scope(candidate.parameters)


def kind_of(candidate: CandidateRecord) -> Kind:
    """The techniques that make a candidate, without those that keep the network."""
    return candidate.technique, tuple(link.technique for link in candidate.essential_links)


def _mean_ratio(ratios: list[float]) -> float:
    """The geometric mean, limited to the range from 0.5 to 2, so that one surprise does not overturn all
    predictions."""
    if not ratios:
        return 1.0
    mean = math.exp(sum(math.log(max(ratio, 1e-6)) for ratio in ratios) / len(ratios))
    return min(2.0, max(0.5, mean))
