"""A fixed grid of techniques: each with its defaults, alone and after every one that makes another network.

What it measures is judged as a session judges its finalists, on the same examples: without that, the grid would ship
whatever was lucky on the validation part.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from apps.agents.contracts.chain import Chain, in_one_line
from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.reports.evaluation import EvaluationReport, Part
from apps.agents.contracts.state import CandidateRecord, Prediction, Status, StepKind, StepRecord, StepRequest
from apps.agents.evaluation.selection import judge
from apps.agents.measuring.statistics.certainty import finalists, shared_confidence
from apps.agents.planning.chains import application_of
from apps.agents.sandbox.process import JobFailed
from apps.agents.session.candidates import Trial
from apps.agents.session.finalists import Finals, contenders
from apps.agents.techniques.catalogue import Family, TechniqueSpec, catalogue
from apps.agents.techniques.order import why_not_after
from benchmarks.truth.material import Material

LONGEST_TIMING_S = 6.0
UNPREDICTED = Prediction(
    speedup=1.0, size_ratio=1.0, metric_drop_points=0.0, risk="low", basis="A grid predicts nothing."
)


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


@dataclass
class Grid:
    """Every chain ranked on the validation part, and the best of them judged."""

    workshop: Workshop
    made: dict[str, Path | None] = field(default_factory=dict)
    """By chain, what it makes; `None` where it failed."""
    trials: dict[str, Trial] = field(default_factory=dict)
    tried: int = 0

    def run(self) -> None:
        for chain in chains(catalogue()):
            self.tried += 1
            path = self._artifact(chain)
            if path is not None:
                self._rank(f"g{self.tried:02}", chain, path)

    @property
    def fastest(self) -> Found:
        """Within the limit on the validation part, by the measured loss and its interval there alone."""
        accepted = [key for key, trial in self.trials.items() if trial.judgement and trial.judgement.accepted]
        return self._found(max(accepted, key=self._speedup))

    def proven(self) -> Found | None:
        """The best that is proven on the test part: the highest ranked finalist, as a session finds it."""
        confidence = self.workshop.criteria.confidence
        keys = finalists(contenders(self.trials, self.workshop.criteria), confidence)
        finals = Finals(keys, self.trials, self.workshop.criteria)
        for key in keys:
            self._judge(key, finals)
            if finals.chosen(closed=False) is not None:
                break
            finals = replace(finals)
        chosen = replace(finals).chosen(closed=True)
        return self._found(chosen) if chosen else None

    def _artifact(self, chain: Chain) -> Path | None:
        """What the chain makes; links that were made for another chain are not made again."""
        path: Path | None = self.workshop.material.original
        for length in range(1, len(chain) + 1):
            key = in_one_line(chain[:length])
            if key not in self.made and path is not None:
                self.made[key] = self._applied(chain[length - 1], path)
            path = self.made.get(key)
        return path

    def _applied(self, link: Any, path: Path) -> Path | None:
        request = _request("make", StepKind.OPTIMIZE, link.technique, link.parameters)
        return self.workshop.carry_out(request, {"model": path})[1]

    def _rank(self, key: str, chain: Chain, path: Path) -> None:
        step, _ = self.workshop.carry_out(self._evaluation(key, chain, {"part": Part.CHOOSING.value}), {"model": path})
        if step.status is not Status.COMPLETED:
            return
        report = EvaluationReport.model_validate(step.result)
        planned = CandidateRecord(key=key, steps=chain, predicted=UNPREDICTED, reason="")
        judgement = judge(report, self.workshop.criteria)
        self.trials[key] = Trial(planned, key, key, evaluate=step, report=report, judgement=judgement)
        lost = f"{report.primary.drop.value:.2f}"
        print(f"grid: {report.latency.speedup.value:.2f}×, {lost}: {in_one_line(chain)}", flush=True)

    def _judge(self, key: str, finals: Finals) -> None:
        trial = self.trials[key]
        told = {
            "part": Part.EVALUATION.value,
            "finalists": list(finals.keys),
            "confidence": shared_confidence(self.workshop.criteria.confidence, finals.sharing),
        }
        path = self.made[in_one_line(trial.planned.steps)]
        assert path is not None, "it was ranked"
        step, _ = self.workshop.carry_out(self._evaluation(key, trial.planned.steps, told), {"model": path})
        done = step.status is Status.COMPLETED
        judged = EvaluationReport.model_validate(step.result) if done else None
        self.trials[key] = replace(trial, judge=step, judged=judged)
        print(f"grid: {key} judged, {judged.primary.drop if judged else step.error}", flush=True)

    def _evaluation(self, key: str, chain: Chain, told: Mapping[str, Any]) -> StepRequest:
        earlier = [link.technique for link in chain[:-1] if link.essential]
        parameters = {**told, **({"earlier": earlier} if earlier else {})}
        return _request(f"{key}/evaluate", StepKind.EVALUATE, chain[-1].technique, parameters)

    def _speedup(self, key: str) -> float:
        report = self.trials[key].report
        assert report is not None, "it was ranked"
        return report.latency.speedup.value

    def _found(self, key: str) -> Found:
        report = self.trials[key].report
        assert report is not None, "it was ranked"
        what = in_one_line(self.trials[key].planned.steps)
        return Found(what, self._speedup(key), report.primary.drop.value, self.tried, self.workshop.seconds)


def _request(key: str, kind: StepKind, technique: str, parameters: Mapping[str, Any]) -> StepRequest:
    return StepRequest(key=key, kind=kind, queue="cpu", reason="", technique=technique, parameters=dict(parameters))
