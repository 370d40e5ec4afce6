"""A conflict, its resolutions, and what is known when criteria are checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.loss_limits import for_task
from apps.agents.contracts.reports.dataset import DatasetSummary
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.contracts.state import Plan
from apps.agents.contracts.values import Value
from apps.agents.evaluation.decidability import Earlier
from apps.agents.planning.agent import PlanningAgent
from apps.agents.techniques.catalogue import TechniqueSpec, catalogue
from apps.agents.techniques.compatibility import exporter_for, in_reach
from apps.agents.techniques.knowledge.tables import TABLES, Knowledge


class Severity(StrEnum):
    CONTRADICTION = "contradiction"
    """Nothing can satisfy the criteria. They are not saved, and no session starts with them."""
    WARNING = "warning"
    """Something has no effect, or is not likely to hold. It stops nothing."""


class Resolution(Value):
    """A change of the criteria that resolves a conflict."""

    id: str
    """Names it among all resolutions of the criteria: `technique_forbidden/onnx-prune/permit`."""
    title: str
    patch: dict[str, Any]
    """The fields of the criteria to replace, in the structure of the criteria. `null` removes a limit."""


class Conflict(Value):
    """Fields of criteria that do not go together, or that do not go with what is known."""

    code: str
    subject: str = ""
    """The technique in question, if there is one."""
    severity: Severity
    fields: tuple[str, ...]
    """The paths of the fields concerned: `constraints.min_speedup`."""
    message: str
    """What does not go together, and what to do."""
    resolutions: tuple[Resolution, ...] = ()


@dataclass(frozen=True)
class Precedence:
    """That a member's own default criteria are used although the team has other ones."""

    own: str
    """The name and version of the member's default."""
    team: str
    criteria: Criteria
    """The team's default."""


@dataclass(frozen=True)
class Known:
    """What is known besides the criteria. A rule that needs what is missing here says nothing."""

    specs: Mapping[str, TechniqueSpec] = field(default_factory=catalogue)
    libraries: tuple[str, ...] = ()
    """The distributions of the live workers; empty if no worker is alive."""
    disabled: tuple[str, ...] = ()
    """Techniques that the operators have switched off on the installation."""
    paused: Mapping[str, str] = field(default_factory=dict)
    """Techniques that are paused because they keep failing, each with a sentence: why, and when it is tried again."""
    model: ModelSummary | None = None
    student: ModelSummary | None = None
    dataset: DatasetSummary | None = None
    spec: DatasetSpec | None = None
    """How the data set is read."""
    earlier: tuple[Earlier, ...] = ()
    """Earlier evaluations of the model on the data set."""
    latency_ms: float | None = None
    """The original's latency on the criteria's target, as an earlier session measured it."""
    knowledge: Knowledge = TABLES
    """What predictions are based on: the tables, and how the team's history moves them."""
    precedence: Precedence | None = None
    """Set if the criteria are the member's own default, and the team's default is another one."""
    _plans: dict[str, Plan] = field(default_factory=dict, repr=False, compare=False)
    """The plans so far, by the criteria as JSON: several rules read the same ones."""

    @property
    def left_out(self) -> tuple[str, ...]:
        """The techniques that no plan may use now: switched off, or paused."""
        return (*self.disabled, *self.paused)

    def plan(self, criteria: Criteria) -> Plan | None:
        """What a session with `criteria` would try; `None` without a model and a data set."""
        if self.model is None or self.dataset is None:
            return None
        criteria = for_task(criteria, self.spec) if self.spec else criteria
        key = criteria.model_dump_json()
        if key not in self._plans:
            self._plans[key] = PlanningAgent(self.specs, self.knowledge).preview(
                self.model, self.dataset, criteria, self.libraries, self.left_out, self.student
            )
        return self._plans[key]

    def label(self, technique: str) -> str:
        """The technique's label, or its name if it is not in the catalogue."""
        spec = self.specs.get(technique)
        return spec.label if spec else technique

    def permitted(self, criteria: Criteria) -> tuple[TechniqueSpec, ...]:
        """The techniques that the criteria permit, for their device, not left out, and in reach of the model."""
        return tuple(
            spec
            for spec in self.specs.values()
            if criteria.permits(spec.name)
            and criteria.target.device in spec.devices
            and spec.name not in self.left_out
            and (self.model is None or in_reach(spec, self.model))
        )

    def exporter(self, technique: str) -> TechniqueSpec | None:
        """The export without which `technique` cannot be applied to the model; `None` if it needs none."""
        spec = self.specs.get(technique)
        if spec is None or self.model is None:
            return None
        return exporter_for(spec, self.model.format)


class Conflicting:
    """Builds a conflict; the ids of its resolutions follow from its code and subject."""

    def __init__(self, code: str, severity: Severity, *fields: str, subject: str = "") -> None:
        self.code, self.severity, self.fields, self.subject = code, severity, fields, subject
        self._resolutions: list[Resolution] = []

    def resolved(self, action: str, title: str, **patch: Any) -> Conflicting:
        """Adds a resolution. `patch` holds the fields to replace."""
        parts = [self.code, *([self.subject] if self.subject else []), action]
        self._resolutions.append(Resolution(id="/".join(parts), title=title, patch=patch))
        return self

    def says(self, message: str) -> Conflict:
        return Conflict(
            code=self.code,
            subject=self.subject,
            severity=self.severity,
            fields=self.fields,
            message=message,
            resolutions=tuple(self._resolutions),
        )
