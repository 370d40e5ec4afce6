"""A session's search against a fixed grid: `python -m benchmarks.search_against_grid`, some minutes.

The grid applies every technique that takes the sample's ONNX model with its default parameters, alone and after every
technique that makes another network, and ranks each result. The session has half of the time that the grid took. Both
use the same limit on the loss, the same examples, the same timing, and one step at a time in child processes. Printed
are the fastest result within the limit of either, its speed-up, and the seconds.

Results vary with the machine, so only ratios are worth quoting.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apps.agents.contracts.chain import MODEL, Chain, in_one_line
from apps.agents.contracts.criteria import PROFILES, Budget, Criteria
from apps.agents.contracts.reports.analysis import AnalysisReport
from apps.agents.contracts.reports.evaluation import EvaluationReport, Part
from apps.agents.contracts.state import Closing, SessionState, Status, StepKind, StepRecord, StepRequest
from apps.agents.evaluation.selection import judge
from apps.agents.measuring.machine import installed_versions
from apps.agents.planning.chains import application_of
from apps.agents.sandbox.process import JobFailed
from apps.agents.session.manager import OptimizationManager
from apps.agents.session.steps import ANALYSE
from apps.agents.techniques.catalogue import Family, TechniqueSpec, catalogue
from apps.agents.techniques.order import why_not_after
from benchmarks.truth.material import Material, resnet

SHARE = 0.5
"""The session's part of the grid's time."""
LIBRARIES = ("onnx", "onnxruntime", "onnxscript", "optuna")
LONGEST_TIMING_S = 6.0


@dataclass(frozen=True)
class Found:
    """The best of one of the two."""

    what: str
    speedup: float
    drop_points: float
    tried: int
    seconds: float

    def __str__(self) -> str:
        lost = f"{self.drop_points:.2f} points lost"
        return f"{self.speedup:.2f}× with {lost}, {self.tried} tried in {self.seconds:.0f} s: {self.what}"


@dataclass
class Workshop:
    """Carries out steps in children, one after the other, and counts their seconds."""

    material: Material
    criteria: Criteria
    seed: int = 0
    seconds: float = 0.0
    known: dict[str, Any] = field(default_factory=dict)

    def carry_out(self, request: StepRequest, inputs: Mapping[str, Path]) -> tuple[StepRecord, Path | None]:
        """The finished step, and what it made."""
        start = time.monotonic()
        files = {"original": self.material.original, "model": self.material.original, **inputs}
        if request.kind in (StepKind.PLAN, StepKind.REFINE):
            files = {}
        facts = {"criteria": self.criteria, "timing_s": LONGEST_TIMING_S, **self.known}
        try:
            result, folder = self.material.job(request, files, self.seed, **facts)
        except JobFailed as error:
            failure = error.failure
            told = {"error_code": failure.code, "error": failure.message, "fault": failure.fault}
            return StepRecord(request=request, status=Status.FAILED, **told, duration_s=self._spend(start)), None
        made = folder / result.files[0].path if result.files else None
        size = made.stat().st_size if made else None
        record = {"result": result.body, "duration_s": self._spend(start), "size_bytes": size}
        return StepRecord(request=request, status=Status.COMPLETED, **record), made

    def _spend(self, start: float) -> float:
        spent = time.monotonic() - start
        self.seconds += spent
        return spent


# --- the grid --------------------------------------------------------------------------------------------------------


def chains(specs: Mapping[str, TechniqueSpec]) -> Iterator[Chain]:
    """Every technique for ONNX with its defaults, alone and after each that makes another network."""
    taking = [spec for spec in specs.values() if "onnx" in spec.formats and spec.family is not Family.EXPORT]
    taking = [spec for spec in taking if not spec.needs_training and not spec.trains_student]
    for spec in taking:
        yield (application_of(spec, spec.resolve({})),)
    for first in (one for one in taking if one.remakes_network):
        for second in (one for one in taking if not one.remakes_network):
            if why_not_after(second, [first], "onnx") is None:
                yield tuple(application_of(one, one.resolve({})) for one in (first, second))


def best_of_grid(workshop: Workshop) -> Found:
    found: list[tuple[EvaluationReport, str]] = []
    made: dict[str, Path | None] = {}
    tried = 0
    for chain in chains(catalogue()):
        tried += 1
        path: Path | None = workshop.material.original
        for length in range(1, len(chain) + 1):
            key = in_one_line(chain[:length])
            if key not in made:
                made[key] = _applied(workshop, chain[length - 1], path)
            path = made[key]
            if path is None:
                break
        if path is not None and (report := _ranked(workshop, path, chain)) is not None:
            found.append((report, in_one_line(chain)))
            print(
                f"grid: {report.latency.speedup.value:.2f}×, {report.primary.drop.value:.2f}: {in_one_line(chain)}",
                flush=True,
            )
    accepted = [(report, what) for report, what in found if judge(report, workshop.criteria).accepted]
    report, what = max(accepted, key=lambda item: item[0].latency.speedup.value)
    return Found(what, report.latency.speedup.value, report.primary.drop.value, tried, workshop.seconds)


def _applied(workshop: Workshop, link: Any, path: Path | None) -> Path | None:
    assert path is not None, "made before"
    request = StepRequest(
        key="make", kind=StepKind.OPTIMIZE, queue="cpu", reason="", technique=link.technique, parameters=link.parameters
    )
    _, made = workshop.carry_out(request, {"model": path})
    return made


def _ranked(workshop: Workshop, path: Path, chain: Chain) -> EvaluationReport | None:
    earlier = [link.technique for link in chain[:-1] if link.essential]
    told = {"part": Part.CHOOSING.value} | ({"earlier": earlier} if earlier else {})
    request = StepRequest(
        key="rank", kind=StepKind.EVALUATE, queue="cpu", reason="", technique=chain[-1].technique, parameters=told
    )
    step, _ = workshop.carry_out(request, {"model": path})
    return EvaluationReport.model_validate(step.result) if step.status is Status.COMPLETED else None


# --- the session -----------------------------------------------------------------------------------------------------


@dataclass
class Session:
    workshop: Workshop
    steps: list[StepRecord] = field(default_factory=list)
    made: dict[str, Path] = field(default_factory=dict)

    def run(self) -> Found:
        while True:
            decision = OptimizationManager().next(self._state)
            assert decision.failure is None, decision.failure
            for request in decision.requests:
                if request.kind is StepKind.PACKAGE:
                    return self._found(Closing.model_validate(request.parameters).verdict.candidate)
                self._carry_out(request)

    def _carry_out(self, request: StepRequest) -> None:
        inputs = {role: self.made[key] for role, key in request.parents.items() if key in self.made}
        if MODEL in inputs:
            inputs["model"] = inputs.pop(MODEL)
        self.workshop.known["outcomes"] = self._outcomes
        step, path = self.workshop.carry_out(request, inputs)
        if path is not None:
            self.made[request.key] = path
        if request.key == ANALYSE:
            self.workshop.known["analysis"] = AnalysisReport.model_validate(step.result)
        self.steps.append(step)
        print(f"session: {self.workshop.seconds:.0f} s, {request.key} {step.status.value}", flush=True)

    @property
    def _state(self) -> SessionState:
        material = self.workshop.material
        return SessionState(
            criteria=self.workshop.criteria,
            model=material.engine().summary,
            dataset=material.dataset(self.workshop.seed).summary,
            seed=self.workshop.seed,
            steps=tuple(self.steps),
            worked_s=self.workshop.seconds,
            libraries=tuple(installed_versions(LIBRARIES)),
        )

    @property
    def _outcomes(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {part: {} for part in Part}
        for step in self.steps:
            if step.request.kind is StepKind.EVALUATE and step.status is Status.COMPLETED:
                found[step.result["part"]][step.request.candidate or ""] = step.result["outcomes"]
        return found

    def _found(self, shipped: str | None) -> Found:
        """What the session ships, with the speed-up that ranked it: that is what the grid has, too."""
        tried = {one.request.candidate for one in self.steps if one.request.kind is StepKind.EVALUATE}
        ranked = next(one for one in self.steps if one.request.key == f"{shipped}/evaluate")
        report = EvaluationReport.model_validate(ranked.result)
        titles = {one.key: one.title for one in OptimizationManager().next(self._state).candidates}
        what = f"{shipped}, {titles[shipped or '']}"
        return Found(what, report.latency.speedup.value, report.primary.drop.value, len(tried), self.workshop.seconds)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--seconds", type=float, help="what the grid took: it is not run again")
    given = asked.parse_args()
    seed = given.seed
    with tempfile.TemporaryDirectory() as folder:
        material = resnet(Path(folder))
        data = material.dataset(seed).summary
        criteria = PROFILES["fastest"].model_copy(update={"budget": Budget(minutes=30, candidates=12)})
        grid = None if given.seconds else best_of_grid(Workshop(material, criteria, seed))
        seconds = given.seconds if grid is None else grid.seconds
        half = criteria.model_copy(update={"budget": Budget(minutes=SHARE * seconds / 60, candidates=12)})
        session = Session(Workshop(material, half, seed, known={"data": data})).run()
    print(f"session  {session}")
    if grid is not None:
        speed, share = session.speedup / grid.speedup, session.seconds / grid.seconds
        print(f"grid     {grid}\nthe session's is {speed:.2f} times as fast, in {share:.2f} of the time")


if __name__ == "__main__":
    main()
