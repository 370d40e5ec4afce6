"""What was read from a session's steps, so that one decision reads nothing twice.

Completed steps do not change. The state with the steps that are requested now is read once more, to tell what follows
from them, and finds there what the state before had read.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from apps.agents.contracts.chain import Chain, key_of
from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.state import Plan, StepRecord
from apps.agents.evaluation.selection import Judgement, judge


@dataclass(frozen=True)
class Reading:
    """Values by the keys of the steps that they were read from."""

    _ranked: dict[str, tuple[EvaluationReport, Judgement]] = field(default_factory=dict)
    _plans: dict[str, Plan] = field(default_factory=dict)
    _keys: dict[tuple[int, ...], tuple[Chain, str]] = field(default_factory=dict)

    def ranked(self, step: StepRecord, criteria: Criteria) -> tuple[EvaluationReport, Judgement]:
        """The evaluation that a completed step made, and what it means under the session's criteria."""
        key = step.request.key
        if key not in self._ranked:
            report = EvaluationReport.model_validate(step.result)
            self._ranked[key] = report, judge(report, criteria)
        return self._ranked[key]

    def plan(self, step: StepRecord) -> Plan:
        """The plan that a completed step made."""
        key = step.request.key
        if key not in self._plans:
            self._plans[key] = Plan.model_validate(step.result)
        return self._plans[key]

    def chain_key(self, chain: Chain) -> str:
        """The key of the artifact that `chain` makes. The links are kept, so that none gets the identity of another."""
        same = tuple(map(id, chain))
        if same not in self._keys:
            self._keys[same] = chain, key_of(chain)
        return self._keys[same][1]
