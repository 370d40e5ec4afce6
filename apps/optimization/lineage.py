"""Lineage: the steps that led to an artifact, and its format."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import cached_property
from typing import Any

from pydantic import Field

from apps.agents.contracts.chain import COMPARED, STUDENT, Application, Applied, applied, key_of, prefix_key
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.state import CandidateStatus, Status, StepKind
from apps.agents.contracts.values import Value
from apps.agents.techniques.artifact_format import format_after, runtime_of
from apps.models.models import ModelVersion
from apps.optimization.models import Candidate, OptimizationSession, SessionStep


class Link(Value):
    """One link of a candidate's chain, and what came of it."""

    title: str
    """The technique as people call it."""
    variant: str
    """What its parameters make of it; empty where they say nothing."""
    essential: bool = False
    """Whether the candidate is named after it even if it is not the last link."""
    technique: str
    parameters: dict[str, Any]
    size_bytes: int | None
    """Of what it made; `None` before."""
    digest: str | None
    """SHA-256 of what it made."""
    checks: tuple[str, ...]
    """What was checked of what it made, one sentence each: what stayed in float, too."""
    evidence: dict[str, Any] = Field(default_factory=dict)
    """What the technique found out while it was applied, by names of its own."""
    curves: dict[str, list[tuple[int, float]]] = Field(default_factory=dict)
    """What it measured while it trained: pairs of step and value by name."""
    step: str | None = None
    """Key of the step that applies it; `None` before it is asked for."""
    status: Status | None = None
    """Of that step."""
    error: str | None = None
    """Why that step failed, in a sentence."""
    had_nothing_to_change: bool = False
    """Whether it made no file because the technique has nothing to do here, which is not a fault."""
    collected_at: datetime | None = None
    """When the session let the file go, because nothing read it any more. Its recipe makes it again."""

    @property
    def state(self) -> str:
        """Its status, or `planned` before its step is asked for."""
        if self.had_nothing_to_change:
            return "nothing to change"
        return self.status.value if self.status else CandidateStatus.PLANNED.value


def format_of(version: ModelVersion) -> str:
    """The original's format."""
    return str(version.metadata.format)


def signature_of(version: ModelVersion) -> str | None:
    """The original's signature, if its format supports several."""
    return version.metadata.body["signature"] or None


def reading_of(session: OptimizationSession) -> dict[str, Any]:
    """How to read the session's data set: the member's spec, with the batch axes that the analysis found."""
    spec = DatasetSpec.model_validate(session.dataset.spec)
    found = session.analysis.body.get("batch_axes") if hasattr(session, "analysis") else None
    return spec.laid_out(found or {}).model_dump(mode="json")


class Lineage:
    """The steps of a session by what they made, read once."""

    def __init__(self, session: OptimizationSession, steps: Iterable[SessionStep] | None = None) -> None:
        """`steps` are all of the session's, where they were read already."""
        self._session, self._known = session, steps

    @cached_property
    def _steps(self) -> dict[str, SessionStep]:
        steps = self._known or self._session.steps.select_related("artifact").order_by("pk")
        return {step.key: step for step in steps}

    @cached_property
    def _optimizing(self) -> dict[str, SessionStep]:
        """The steps that make something, by the key of the techniques that lead to it: completed ones before others."""
        making = [step for step in self._steps.values() if step.kind == StepKind.OPTIMIZE]
        in_order = sorted(making, key=lambda step: step.status == Status.COMPLETED)
        return {self._prefix_key(one.key): one for one in in_order}

    def _prefix_key(self, key: str) -> str:
        """The key of the chain up to the step called `key`; `ORIGINAL` is its own."""
        way = self.way_to(key)
        return prefix_key(self._applied(step) for step in way) if way else key

    def _applied(self, step: SessionStep) -> Applied:
        further = {role: self._prefix_key(key) for role, key in step.further_parents.items()}
        return applied(step.technique, step.parameters, further)

    def chain_key(self, key: str) -> str:
        """The key of the chain that the step called `key` made (`apps.agents.contracts.chain.key_of`)."""
        return self._prefix_key(key)

    def way_to(self, key: str) -> list[SessionStep]:
        """The optimize steps from the original to the one called `key`, in order; none for the original."""
        step = self._steps.get(key)
        way: list[SessionStep] = []
        while step is not None and step.kind == StepKind.OPTIMIZE:
            way.append(step)
            step = self._steps.get(step.parent_key)
        return way[::-1]

    def sources(self, key: str) -> list[SessionStep]:
        """Every optimize step that the artifact of the one called `key` was made from, and itself, in an order in which
        they can be repeated.
        """
        found: dict[str, SessionStep] = {}
        self._add_sources(key, found)
        return list(found.values())

    def _add_sources(self, key: str, found: dict[str, SessionStep]) -> None:
        step = self._steps.get(key)
        if step is None or step.kind != StepKind.OPTIMIZE or key in found:
            return
        for parent in step.parents.values():
            self._add_sources(parent, found)
        found[key] = step

    @property
    def makers(self) -> dict[str, SessionStep]:
        """The step that made each candidate's artifact, by the candidate's key, where the file is kept."""
        return {key: step for key, step in self._own_or_measured.items() if step.artifact is not None}

    @cached_property
    def _own_or_measured(self) -> dict[str, SessionStep]:
        """The step that makes what each candidate is, by the candidate's key.

        A candidate's own optimize step, or the one whose artifact was evaluated as it: others start from that as well.
        """
        found = {
            step.candidate_key: self._steps[step.parent_key]
            for step in self._steps.values()
            if step.kind == StepKind.EVALUATE and step.candidate_key and step.parent_key in self._steps
        }
        own = (step for step in self._steps.values() if step.kind == StepKind.OPTIMIZE and step.candidate_key)
        return found | {step.candidate_key: step for step in own}

    def runtime_of(self, candidate: Candidate) -> str:
        """What runs a candidate."""
        return runtime_of_candidate(self._session, candidate)

    def links(self, candidate: Candidate) -> tuple[Link, ...]:
        """The chain of `candidate` with what came of each link as far as it was made."""
        chain, maker = candidate.chain, self._own_or_measured.get(candidate.key)
        way: list[SessionStep | None] = [*self.way_to(maker.key)] if maker else []
        parts = [chain[: place + 1] for place in range(len(chain))]
        made = way if len(way) == len(chain) else [self._optimizing.get(key_of(part)) for part in parts]
        return tuple(_link(*pair) for pair in zip(chain, made, strict=True))


def _link(application: Application, made: SessionStep | None) -> Link:
    result = made.result if made else {}
    return Link(
        title=application.title,
        variant=application.variant,
        essential=application.essential,
        technique=application.technique,
        parameters=application.parameters,
        size_bytes=result.get("size_bytes"),
        digest=result.get("digest"),
        checks=tuple(result.get("checks", ())),
        evidence=result.get("evidence", {}),
        curves=made.curves if made else {},
        step=made.key if made else None,
        status=Status(made.status) if made else None,
        error=(made.error or None) if made else None,
        had_nothing_to_change=made.had_nothing_to_change if made else False,
        collected_at=made.collected_at if made else None,
    )


def chain_to(session: OptimizationSession, key: str) -> list[SessionStep]:
    """The optimize steps from the original to the one called `key`, in order; empty for the original."""
    return Lineage(session).way_to(key)


def input_format(step: SessionStep) -> str:
    """The format of the model that `step` starts from."""
    return _format_made_by(step.session, step.parent_key)


def further_formats(step: SessionStep) -> dict[str, str]:
    """The formats of the other models that `step` reads, by role."""
    return {role: _format_made_by(step.session, key) for role, key in step.further_parents.items()}


def _format_made_by(session: OptimizationSession, key: str) -> str:
    """The format of what the step called `key` made; the student's and the compared version's for their keys, the
    original's for any other."""
    if key == COMPARED and session.compared is not None:
        return format_of(session.compared)
    if key == STUDENT and session.student is not None:
        return format_of(session.student)
    techniques = [one.technique for one in chain_to(session, key)]
    return format_after(format_of(session.version), techniques)


def makers(session: OptimizationSession) -> dict[str, SessionStep]:
    """The step that made each candidate's artifact, by the candidate's key."""
    return Lineage(session).makers


def exported_analyses(session: OptimizationSession, steps: Iterable[SessionStep] | None = None) -> list[dict[str, Any]]:
    """The bodies of the analyses of the original's exports, in the order in which they were requested. `steps` are the
    session's in order, if they are at hand.
    """
    rows = session.steps.filter(kind=StepKind.ANALYSE).order_by("pk") if steps is None else steps
    return [
        step.result
        for step in rows
        if step.kind == StepKind.ANALYSE and step.status == Status.COMPLETED and step.parent_key
    ]


def runtime_of_original(version: ModelVersion) -> str:
    return runtime_of(format_of(version))


def format_of_candidate(session: OptimizationSession, candidate: Candidate) -> str:
    """The format of what a candidate is: the compared version's, another one after an export, else the original's."""
    if session.compared is not None:
        return format_of(session.compared)
    return format_after(format_of(session.version), [link.technique for link in candidate.chain])


def runtime_of_candidate(session: OptimizationSession, candidate: Candidate) -> str:
    """What runs a candidate."""
    return runtime_of(format_of_candidate(session, candidate))
