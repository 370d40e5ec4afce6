"""The grid that sessions are compared with is judged as a session is: luck on the validation part ships nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from apps.agents.contracts.criteria import PROFILES, Criteria
from apps.agents.contracts.reports.evaluation import Part
from apps.agents.contracts.state import Status, StepKind, StepRecord, StepRequest
from apps.agents.techniques.catalogue import catalogue
from benchmarks.fixed_grid import Grid, chains
from tests.agents.inmemory import PRUNE, STATIC, Truth, evaluation, resnet

FASTEST = PROFILES["fastest"]
QUICK_AND_UNSURE = Truth(8.0, 8.0, 0.4, 1.3)
SURE = Truth(4.0, 4.0, 0.0, 0.2)
NOTHING = Truth(1.0, 1.0, 0.0, 0.2)


@dataclass
class Measured:
    """Steps of a workshop, whose results are known."""

    criteria: Criteria = FASTEST
    seconds: float = 0.0
    material: Any = field(default_factory=lambda: SimpleNamespace(original=Path("original")))
    judged: list[str] = field(default_factory=list)
    made: list[str] = field(default_factory=list)

    def carry_out(self, request: StepRequest, inputs: Mapping[str, Path]) -> tuple[StepRecord, Path | None]:
        self.seconds += 1
        if request.kind is StepKind.OPTIMIZE:
            self.made.append(f"{inputs['model']}/{request.technique}")
            return _done(request, {}), Path(self.made[-1])
        part = Part(request.parameters["part"])
        if part is Part.EVALUATION:
            self.judged.append(request.key)
        finalists = len(request.parameters.get("finalists", ("alone",)))
        report = evaluation(resnet(), _truth(str(inputs["model"])), self.criteria, part=part, finalists=finalists)
        return _done(request, report.model_dump(mode="json")), None


def _truth(path: str) -> Truth:
    if not path.endswith(STATIC):
        return NOTHING
    return QUICK_AND_UNSURE if PRUNE in path else SURE if path == f"original/{STATIC}" else NOTHING


def _done(request: StepRequest, result: dict[str, Any]) -> StepRecord:
    return StepRecord(request=request, status=Status.COMPLETED, result=result, duration_s=1.0)


def test_the_grid_ships_the_best_that_is_proven_and_not_what_ranked_first():
    workshop = Measured()
    grid = Grid(workshop)
    grid.run()
    assert grid.fastest.speedup == 8.0
    proven = grid.proven()
    assert proven is not None
    assert proven.speedup == 4.0
    assert 1 < len(workshop.judged) <= 3, "the quick one first, which is not proven"
    assert proven.seconds == workshop.seconds, "judging counts"


def test_what_several_chains_start_from_is_made_once():
    workshop = Measured()
    grid = Grid(workshop)
    grid.run()
    assert len(workshop.made) == len(set(workshop.made))
    assert grid.tried == len(list(chains(catalogue())))
