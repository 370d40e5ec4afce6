"""A session whose candidates are files at hand, decided by everything that decides in Lathe.

The manager is asked what to do next; candidates are ranked and judged as the worker does it, each in a child of its
own, and finalists and the verdict are the manager's. Only what a technique would have made is put in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from apps.agents.contracts.chain import Application
from apps.agents.contracts.criteria import Budget, Criteria
from apps.agents.contracts.reports.analysis import AnalysisReport
from apps.agents.contracts.reports.evaluation import Part
from apps.agents.contracts.reports.measurements import Latency
from apps.agents.contracts.state import (
    CandidateRecord,
    Closing,
    Plan,
    Prediction,
    SessionState,
    Status,
    StepKind,
    StepRecord,
    StepRequest,
    Verdict,
)
from apps.agents.measuring.machine import describe_machine
from apps.agents.sandbox.process import JobFailed
from apps.agents.session.manager import OptimizationManager
from apps.agents.session.steps import ANALYSE, PLAN
from apps.agents.techniques.catalogue import catalogue
from benchmarks.truth.material import STATIC, Material

HOPED_FOR = Prediction(speedup=4.0, size_ratio=3.9, metric_drop_points=0.0, risk="low", basis="")


@dataclass(frozen=True)
class Bench:
    """Sessions on one model."""

    material: Material
    minutes: float = 0.4
    """Of the budget, for each candidate: how long timing takes follows from it."""

    @cached_property
    def analysis(self) -> AnalysisReport:
        """Of what plans and repairs start from nothing is known: here nothing is planned or repaired."""
        return AnalysisReport(
            model=self.material.engine().summary,
            machine=describe_machine(),
            latency=Latency(p50_ms=1, p95_ms=1, throughput_per_s=1000, runs=1, batch_size=1, threads=1),
            peak_memory_bytes=1,
            layers=(),
            operator_sensitivity=(),
            opportunities=(),
            compatibility=(),
            calibration_examples=0,
        )

    def verdict(self, candidates: Mapping[str, Path], criteria: Criteria, seed: int) -> Session:
        """How a session ends that has these `candidates` to choose among. Raises where a session would fail."""
        asked = criteria.model_copy(
            update={
                "forbidden_techniques": ("onnx-graph",),
                "budget": Budget(minutes=self.minutes * len(candidates), candidates=len(candidates)),
            }
        )
        session = Session(self, dict(zip(_keys(len(candidates)), candidates.values(), strict=True)), asked, seed)
        session.run()
        return session


@dataclass
class Session:
    bench: Bench
    files: dict[str, Path]
    criteria: Criteria
    seed: int
    steps: list[StepRecord] = field(default_factory=list)
    verdict: Verdict | None = None

    @property
    def shipped(self) -> Path | None:
        """The file that is handed over; `None` where the original stands."""
        assert self.verdict is not None, "it has run"
        return None if self.verdict.candidate is None else self.files[self.verdict.candidate]

    def run(self) -> None:
        self._begin()
        while self.verdict is None:
            decision = OptimizationManager().next(self._state)
            if decision.failure:
                raise RuntimeError(f"the session failed: {decision.failure}")
            for request in decision.requests:
                if request.kind is StepKind.PACKAGE:
                    self.verdict = Closing.model_validate(request.parameters).verdict
                    return
                self.steps.append(self._carried_out(request))

    def _begin(self) -> None:
        plan = Plan(summary="", candidates=tuple(_candidate(key) for key in self.files), omitted=())
        for key, kind, result in (
            (ANALYSE, StepKind.ANALYSE, self.bench.analysis.model_dump(mode="json")),
            (PLAN, StepKind.PLAN, plan.model_dump(mode="json")),
        ):
            request = StepRequest(key=key, kind=kind, queue="cpu", reason="")
            self.steps.append(StepRecord(request=request, status=Status.COMPLETED, result=result))

    @property
    def _state(self) -> SessionState:
        material = self.bench.material
        return SessionState(
            criteria=self.criteria,
            model=material.engine().summary,
            dataset=material.dataset(self.seed).summary,
            seed=self.seed,
            steps=tuple(self.steps),
            # All candidates start before the first is measured, so that each of them is.
            parallelism=len(self.files),
        )

    def _carried_out(self, request: StepRequest) -> StepRecord:
        assert request.candidate is not None, "nothing is prepared or exported here"
        if request.kind is StepKind.OPTIMIZE:
            return StepRecord(request=request, status=Status.COMPLETED)
        material, original = self.bench.material, self.bench.material.original
        files = {"original": original, "model": self.files[request.candidate]}
        try:
            result, _ = material.job(request, files, self.seed, criteria=self.criteria, outcomes=self._outcomes)
        except JobFailed as error:
            failure = error.failure
            told = {"error_code": failure.code, "error": failure.message, "fault": failure.fault}
            return StepRecord(request=request, status=Status.FAILED, **told)
        return StepRecord(request=request, status=Status.COMPLETED, result=result.body)

    @property
    def _outcomes(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {part: {} for part in Part}
        for step in self.steps:
            if step.request.kind is StepKind.EVALUATE and step.status is Status.COMPLETED:
                found[step.result["part"]][step.request.candidate or ""] = step.result["outcomes"]
        return found


def _keys(count: int) -> list[str]:
    return [f"c{number:02}" for number in range(1, count + 1)]


def _candidate(key: str) -> CandidateRecord:
    link = Application(technique=STATIC, parameters=catalogue()[STATIC].resolve({}), title=key)
    return CandidateRecord(key=key, steps=(link,), predicted=HOPED_FOR, reason="A file at hand.")
