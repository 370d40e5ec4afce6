"""The steps of a plan that are taken once: analyses, what several candidates start from, judging, packaging."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from apps.agents.contracts.chain import Application, Chain, key_of
from apps.agents.contracts.state import JUDGING, CandidateRecord, PlannedStep, StepKind
from apps.agents.planning.bases import Bases
from apps.agents.planning.minutes import Minutes, judged_longer_s, least_ranking_s
from apps.agents.techniques.catalogue import Family, TechniqueSpec

OTHERWISE_S = {
    StepKind.ANALYSE: 30.0,
    StepKind.PLAN: 2.0,
    StepKind.OPTIMIZE: 15.0,
    StepKind.SUPERNET: 240.0,
    StepKind.TRIALS: 40.0,
    StepKind.REFINE: 4.0,
    StepKind.PACKAGE: 8.0,
}
"""Where no earlier session has shown how long a step takes."""
MADE_FOR_MANY = frozenset({Family.EXPORT, Family.GRAPH})
"""Families of first links from which several candidates start, so that no candidate's minutes include them."""
ANALYSIS, EXPORTED_ANALYSIS = "Analysis", "Analysis of the export"
JUDGEMENT, PACKAGING = "Judging the best candidate", "Packaging"
_USUAL = "the median of such steps lately"
_ESTIMATED = "estimated, as no such step was measured lately"


@dataclass(frozen=True)
class SharedSteps:
    """What a session does once. `usual_s` says how long steps took lately, by kind."""

    bases: Bases
    minutes: Minutes
    specs: Mapping[str, TechniqueSpec]
    usual_s: Mapping[str, float]

    def of(self, candidates: Sequence[CandidateRecord]) -> tuple[PlannedStep, ...]:
        """In the order in which they are taken. What has been done is not among them."""
        analysed = self.bases.original.analysis is not None
        before = [] if analysed else [self._usual(ANALYSIS, StepKind.ANALYSE)]
        after = [self._judging(), self._usual(PACKAGING, StepKind.PACKAGE)] if candidates else []
        return (*before, *self._links(candidates), *after)

    def _links(self, candidates: Sequence[CandidateRecord]) -> Iterator[PlannedStep]:
        """The first links that several candidates start from, each once, and the analysis of each export."""
        chains = {key_of(chain): chain for one in candidates for chain in self._shared_chains(one.steps)}
        for chain in chains.values():
            spec = self.specs[chain[-1].technique]
            if self.bases.made_by(spec) is not None:
                continue
            basis = self.bases.of(spec) or self.bases.original
            yield from self.minutes.making([(spec, chain[-1].parameters)], basis, size_ratio=1.0)
            if spec.family is Family.EXPORT:
                yield self._usual(EXPORTED_ANALYSIS, StepKind.ANALYSE)

    def _shared_chains(self, chain: Chain) -> list[Chain]:
        """The chains up to each link before the first one that is made for this candidate alone."""
        many = next((place for place, link in enumerate(chain) if not self._is_for_many(link)), len(chain) - 1)
        return [chain[: place + 1] for place in range(many)]

    def _is_for_many(self, link: Application) -> bool:
        spec = self.specs.get(link.technique)
        return spec is not None and spec.family in MADE_FOR_MANY

    def _judging(self) -> PlannedStep:
        criteria = self.minutes.criteria
        least_s = least_ranking_s(criteria) + judged_longer_s(criteria)
        return self._step(JUDGEMENT, self.usual_s.get(JUDGING), least_s)

    def _usual(self, title: str, kind: StepKind) -> PlannedStep:
        return self._step(title, self.usual_s.get(kind), OTHERWISE_S[kind])

    def _step(self, title: str, usual_s: float | None, otherwise_s: float) -> PlannedStep:
        seconds, basis = (otherwise_s, _ESTIMATED) if usual_s is None else (usual_s, _USUAL)
        return PlannedStep(title=title, minutes=round(seconds / 60, 3), basis=basis)
