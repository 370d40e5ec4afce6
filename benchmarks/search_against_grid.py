"""A session's search against a fixed grid: `python -m benchmarks.search_against_grid`, some minutes.

The grid applies every technique that takes a sample's ONNX model with its default parameters, alone and after every
technique that makes another network, and ranks each result. The session has half of the time that the grid took. Both
use the same limit on the loss, the same examples, the same timing, and one step at a time in child processes. The
session ships what is proven on the test part, or what the criteria tolerate. So the grid's best are judged in the same
way. Printed are the fastest result within the limit as the grid ranked it, the best that judging proved, what the
session ships, each with its speed-up, and the seconds.

The sample has 2,791 pictures to judge with, too few to prove that a loss of 0.4 points is below one every time. With
`--data`, a folder with Fashion-MNIST's files, all 10,000 test pictures are used: both then ship what is good, not what
was lucky.

Results vary with the machine, so only ratios are worth quoting.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from apps.agents.contracts.chain import MODEL
from apps.agents.contracts.criteria import PROFILES, Budget
from apps.agents.contracts.reports.analysis import AnalysisReport
from apps.agents.contracts.reports.evaluation import EvaluationReport, Part
from apps.agents.contracts.state import Closing, SessionState, Status, StepKind, StepRecord, StepRequest
from apps.agents.measuring.machine import installed_versions
from apps.agents.session.manager import OptimizationManager
from apps.agents.session.steps import ANALYSE
from benchmarks.fixed_grid import Found, Grid, Workshop
from benchmarks.pruning import pictures
from benchmarks.truth.material import depthwise, resnet

SAMPLES = {"resnet": resnet, "depthwise": depthwise}
SHARE = 0.5
"""The session's part of the grid's time."""
LIBRARIES = ("onnx", "onnxruntime", "onnxscript", "optuna")


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


def all_pictures(data: Path, folder: Path) -> Path:
    """Fashion-MNIST's 10,000 test pictures, in the form of the sample's file."""
    images, labels = pictures(data, "t10k")
    np.savez(folder / "pictures.npz", image=images, y=labels.astype(np.int64))
    return folder / "pictures.npz"


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--sample", default="resnet", choices=tuple(SAMPLES))
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--seconds", type=float, help="what the grid took: it is not run again")
    asked.add_argument("--data", type=Path, help="folder with Fashion-MNIST's t10k-*-ubyte.gz files")
    given = asked.parse_args()
    seed = given.seed
    with tempfile.TemporaryDirectory() as folder:
        material = SAMPLES[given.sample](Path(folder))
        if given.data is not None:
            material = replace(material, images=all_pictures(given.data, Path(folder)))
        data = material.dataset(seed).summary
        criteria = PROFILES["fastest"].model_copy(update={"budget": Budget(minutes=30, candidates=12)})
        grid = Grid(Workshop(material, criteria, seed, known={"data": data}))
        found: dict[str, Found | None] = {}
        if given.seconds is None:
            grid.run()
            found = {"fastest as ranked": grid.fastest, "best that is proven": grid.proven()}
        seconds = given.seconds or grid.workshop.seconds
        half = criteria.model_copy(update={"budget": Budget(minutes=SHARE * seconds / 60, candidates=12)})
        session = Session(Workshop(material, half, seed, known={"data": data})).run()
    print(f"session: {session}")
    for name, one in found.items():
        print(f"the grid's {name}: {one or 'none'}")
        if one is not None:
            print(f"  the session's is {session.speedup / one.speedup:.2f} times as fast")
    if found:
        print(f"The session took {session.seconds / seconds:.2f} of the grid's time.")


if __name__ == "__main__":
    main()
