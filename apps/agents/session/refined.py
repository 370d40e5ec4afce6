"""The candidates that refine steps proposed. They follow from the steps alone, as repairs do.

A refinement is named after the planned candidate that it varies: `c03v1`, `c03v2`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from apps.agents.contracts.chain import Chain
from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.refinement import Refinement, RefineParameters
from apps.agents.contracts.state import CandidateRecord, Prediction, Status, StepKind, StepRecord
from apps.agents.planning.bases import Bases
from apps.agents.planning.dimensions import changes_in_words, with_setting
from apps.agents.planning.prediction import predict
from apps.agents.planning.risk import risk_of
from apps.agents.planning.summary import describe
from apps.agents.session.steps import Steps
from apps.agents.techniques.catalogue import TechniqueSpec

_ADDED = re.compile(r"(v\d+|r\d+)+$")
"""What repairs and refinements append to the key of a planned candidate."""


@dataclass(frozen=True)
class Refined:
    """One refine step and what it asked."""

    step: StepRecord
    parameters: RefineParameters

    @property
    def result(self) -> Refinement | None:
        """What it proposed; `None` unless it is completed."""
        return Refinement.model_validate(self.step.result) if self.step.status is Status.COMPLETED else None


def refinements(steps: Steps) -> tuple[Refined, ...]:
    """Every refine step, in the order in which they were requested."""
    asked = (step for step in steps.by_key.values() if step.request.kind is StepKind.REFINE)
    return tuple(Refined(step, RefineParameters.model_validate(step.request.parameters)) for step in asked)


@dataclass(frozen=True)
class RefinedCandidates:
    """Turns proposals into candidates."""

    refinements: tuple[Refined, ...]
    specs: Mapping[str, TechniqueSpec]
    bases: Bases
    criteria: Criteria

    def records(self) -> Iterator[CandidateRecord]:
        """Each proposed candidate. Proposals with a technique that is not installed any more are left out."""
        numbers: Counter[str] = Counter()
        for refined in self.refinements:
            around, found = refined.parameters.around, refined.result
            if found is None or not all(link.technique in self.specs for link in around.steps):
                continue
            root = _ADDED.sub("", around.key)
            for setting in found.proposals:
                numbers[root] += 1
                chain = with_setting(around.steps, refined.parameters.dimensions, setting, self.specs)
                reason = self._why(refined.parameters, found, setting)
                yield self._record(f"{root}v{numbers[root]}", around, chain, reason)

    def _why(self, asked: RefineParameters, found: Refinement, setting: dict[str, object]) -> str:
        changes = changes_in_words(asked.around.steps, asked.dimensions, setting, self.specs)
        measured = len(asked.observed)
        return (
            f"Refines {asked.around.key}: {', '.join(changes)}. Proposed by {found.sampler} from {measured} "
            f"measured candidate{'s' * (measured != 1)} of this chain."
        )

    def _record(self, key: str, around: CandidateRecord, chain: Chain, why: str) -> CandidateRecord:
        predicted = self.predicted(around, chain)
        profile = self.bases.profile(self.specs[chain[-1].technique])
        reason = f"{why} Predicted {describe(predicted, profile)}."
        return CandidateRecord(key=key, steps=chain, predicted=predicted, reason=reason)

    def predicted(self, around: CandidateRecord, chain: Chain) -> Prediction:
        """The prediction of `around`, changed by what the predictions of the changed links say alone."""
        speedup, size, drop = 1.0, 1.0, 0.0
        for before, after in zip(around.steps, chain, strict=True):
            if before.parameters == after.parameters:
                continue
            spec = self.specs[after.technique]
            profile = self.bases.profile(spec)
            old, new = (predict(spec, one.parameters, profile, self.criteria) for one in (before, after))
            speedup *= new.speedup / old.speedup
            size *= new.size_ratio / old.size_ratio
            drop += new.metric_drop_points - old.metric_drop_points
        lost = max(0.0, around.predicted.metric_drop_points + drop)
        return around.predicted.model_copy(
            update={
                "speedup": round(around.predicted.speedup * speedup, 3),
                "size_ratio": round(around.predicted.size_ratio * size, 3),
                "metric_drop_points": round(lost, 3),
                "metric_drop_high": None,
                "risk": risk_of(lost, self.criteria).value,
                "basis": f"Follows from the prediction of {around.key}. {around.predicted.basis}",
            }
        )
