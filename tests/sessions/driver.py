"""A whole session without a portal: the real manager, the real handlers in real child processes, files in a folder.

What the pipeline keeps in rows is kept in memory here, and what it takes from a step's row to a job and back is the
pipeline's own (`apps.optimization.jobs`); no database and no broker is asked. As a script it shows what a session would
do with a model:

    python -m tests.sessions.driver MODEL.onnx DATA.npz --profile fastest --task classification
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apps.agents.criteria import PROFILES, Criteria
from apps.agents.dataset_spec import DatasetKind, DatasetSpec
from apps.agents.formats import Format
from apps.agents.job import Event, Job, JobResult, LogLine
from apps.agents.lineage import format_after
from apps.agents.machine import installed_versions
from apps.agents.manager import OptimizationManager
from apps.agents.process import JobFailed, Limits, run_job
from apps.agents.reports import AnalysisReport, DatasetSummary, EvaluationReport, ModelSummary, Task
from apps.agents.state import (
    AgentDecision,
    CandidateRecord,
    Decision,
    Plan,
    SessionState,
    Status,
    StepKind,
    StepRecord,
    StepRequest,
    Verdict,
)
from apps.agents.techniques import catalogue
from apps.agents.trials import ANALYSE, PACKAGE, PLAN, Steps, analyse_key, evaluate_key

SEED = 20261123
STEP_LIMITS = Limits(memory_bytes=6 * 2**30, time_s=600)
MOST_TURNS = 400

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Subject:
    """What a session is about: a model, labelled examples, and what they are called."""

    model: Path
    data: Path
    spec: DatasetSpec
    format: str = "onnx"
    signature: str | None = None
    """The function that is meant, of a SavedModel with several."""

    @property
    def signed(self) -> dict[str, str]:
        return {} if self.signature is None else {"signature": self.signature}


@dataclass(frozen=True)
class Finished:
    """A session that has come to its verdict."""

    state: SessionState
    decision: Decision
    artifacts: Mapping[str, Path]
    """What each step left, by the step's key."""

    @property
    def verdict(self) -> Verdict:
        assert self.decision.verdict is not None, f"the session failed: {self.decision.failure}"
        return self.decision.verdict

    @property
    def candidates(self) -> tuple[CandidateRecord, ...]:
        return self.decision.candidates

    @property
    def events(self) -> tuple[AgentDecision, ...]:
        return self.decision.events

    @property
    def analysis(self) -> AnalysisReport:
        return AnalysisReport.model_validate(self._result(ANALYSE))

    def exported_analysis(self, target: str = Format.ONNX) -> AnalysisReport:
        """Of the export to a format."""
        return AnalysisReport.model_validate(self._result(analyse_key(target)))

    @property
    def plan(self) -> Plan:
        return Plan.model_validate(self._result(PLAN))

    @property
    def evaluations(self) -> dict[str, EvaluationReport]:
        """What was measured, by candidate."""
        return {
            candidate.key: EvaluationReport.model_validate(step.result)
            for candidate in self.candidates
            if (step := self._step(evaluate_key(candidate.key))) and step.status is Status.COMPLETED
        }

    @property
    def winner(self) -> EvaluationReport:
        """What was measured of the candidate that is handed over."""
        assert self.verdict.candidate is not None, f"nothing is handed over: {self.verdict.reason}"
        return self.evaluations[self.verdict.candidate]

    @property
    def artifact(self) -> Path:
        """The model that is handed over."""
        assert self.verdict.candidate is not None, f"nothing is handed over: {self.verdict.reason}"
        package = self._step(PACKAGE)
        assert package is not None
        assert package.request.parent is not None
        return self.artifacts[package.request.parent]

    def candidate(self, key: str) -> CandidateRecord:
        return next(candidate for candidate in self.candidates if candidate.key == key)

    def _step(self, key: str) -> StepRecord | None:
        return next((step for step in self.state.steps if step.request.key == key), None)

    def _result(self, key: str | None) -> dict[str, Any]:
        step = self._step(key)
        assert step is not None, f"the session has no step {key}"
        return step.result


@dataclass
class Driver:
    """Carries out what the manager asks for, one step at a time."""

    subject: Subject
    criteria: Criteria
    folder: Path
    """Artifacts stay here; scratch folders of steps go as they end."""
    sensitivity_budget_s: float | None = None
    """Seconds for the sensitivity in each analysis; the pipeline's share of the budget unless given."""
    seed: int = SEED
    artifacts: dict[str, Path] = field(default_factory=dict)
    steps: list[StepRecord] = field(default_factory=list)
    dataset_body: dict[str, Any] = field(default_factory=dict)

    def run(self) -> Finished:
        """Drives the session to its verdict or its failure."""
        started = time.monotonic()
        model, dataset = self._inspect()
        self.dataset_body = dataset.model_dump(mode="json")
        manager = OptimizationManager()
        for _ in range(MOST_TURNS):
            state = SessionState(
                criteria=self.criteria,
                model=model,
                dataset=dataset,
                seed=self.seed,
                steps=tuple(self.steps),
                elapsed_s=time.monotonic() - started,
                libraries=installed_libraries(),
            )
            decision = manager.next(state)
            if decision.verdict is not None or decision.failure is not None:
                return Finished(state, decision, self.artifacts)
            assert decision.requests, "nothing runs, and the manager asks for nothing"
            for request in decision.requests:
                self.steps.append(self._carry_out(request, decision))
        raise AssertionError(f"no verdict after {MOST_TURNS} turns")

    def _inspect(self) -> tuple[ModelSummary, DatasetSummary]:
        """Both uploads, as the store has them looked through."""
        model = self._run_job(
            "inspect-model",
            "apps.agents.handlers.inspection:inspect_model",
            {"model": self.subject.model},
            {"format": self.subject.format, **self.subject.signed},
        )
        spec = self.subject.spec.model_dump(mode="json")
        data = self._run_job(
            "inspect-dataset",
            "apps.agents.handlers.datasets:inspect_dataset",
            {"dataset": self.subject.data},
            {"spec": spec, "model": model.body},
        )
        return ModelSummary.model_validate(model.body), DatasetSummary.model_validate(data.body)

    # --- one step ----------------------------------------------------------------------------------------------------

    def _carry_out(self, request: StepRequest, decision: Decision) -> StepRecord:
        from apps.optimization.jobs import HANDLERS  # Wants Django's apps, which the test run or `main` has set up.

        start = time.monotonic()
        record = StepRecord(request=request, status=Status.RUNNING)
        try:
            result = self._run_job(
                request.key, HANDLERS[request.kind], self._inputs(request, decision), self._arguments(request)
            )
        except JobFailed as error:
            if not error.expected:
                raise
            logger.warning("%s failed: %s", request.key, error.message)
            failed = {"status": Status.FAILED, "error_code": error.code, "error": error.message}
            return record.model_copy(update={**failed, "duration_s": time.monotonic() - start})
        artifact = self.artifacts.get(request.key)
        done = {
            "status": Status.COMPLETED,
            "result": result.body,
            "size_bytes": artifact.stat().st_size if artifact else None,
        }
        logger.info("%s took %.1f s", request.key, time.monotonic() - start)
        return record.model_copy(update={**done, "duration_s": time.monotonic() - start})

    def _run_job(self, key: str, handler: str, inputs: dict[str, Path], arguments: dict[str, Any]) -> JobResult:
        """Runs it in a child; what it hands over is kept under `key`."""
        from apps.optimization.jobs import artifact_of

        with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
            job = Job(
                handler=handler,
                scratch=Path(scratch),
                inputs=inputs,
                arguments=arguments,
                seed=self.seed,
                threads=self.criteria.target.threads,
            )
            result = run_job(job, on_event=_tell, should_stop=lambda: False, limits=STEP_LIMITS)
            if artifact := artifact_of(job, result):
                kept = self.folder / "artifacts" / key.replace("/", "-")
                kept.mkdir(parents=True)
                self.artifacts[key] = shutil.move(artifact.path, kept / artifact.filename)
        return result

    def _inputs(self, request: StepRequest, decision: Decision) -> dict[str, Path]:
        if request.kind is StepKind.PLAN:
            return {}
        start = self.artifacts[request.parent] if request.parent else self.subject.model
        files = {"original": self.subject.model, "model": start}
        documents = self._documents(decision) if request.kind is StepKind.PACKAGE else {}
        return {**files, "dataset": self.subject.data, **documents}

    def _documents(self, decision: Decision) -> dict[str, Path]:
        """What stands for the portal's rendered report: the decision in words."""
        place = self.folder / "documents"
        place.mkdir(exist_ok=True)
        report = {"candidates": [candidate.model_dump(mode="json") for candidate in decision.candidates]}
        texts = {
            "report_json": ("report.json", json.dumps(report)),
            "report_html": ("report.html", "".join(f"<p>{event.reason}</p>" for event in decision.events)),
            "recipe": ("recipe.json", "{}"),
        }
        for name, text in texts.values():
            (place / name).write_text(text)
        return {role: place / name for role, (name, _) in texts.items()}

    def _arguments(self, request: StepRequest) -> dict[str, Any]:
        formats = {"original_format": self.subject.format, "format": self._format_of(request.parent)}
        common = {"criteria": self.criteria.model_dump(mode="json"), **formats, **self.subject.signed}
        measured = {**common, "dataset": self.subject.spec.model_dump(mode="json")}
        match request.kind:
            case StepKind.PLAN:
                exported = Steps({step.request.key: step for step in self.steps}).exported_analyses
                known = {"analysis": self._result(ANALYSE), "exported": [step.result for step in exported]}
                return {**common, **known, "dataset": self.dataset_body, **request.parameters}
            case StepKind.ANALYSE if self.sensitivity_budget_s is not None:
                return {**measured, "sensitivity_budget_s": self.sensitivity_budget_s}
            case StepKind.OPTIMIZE:
                return {**measured, "technique": request.technique, "parameters": request.parameters}
            case StepKind.EVALUATE:
                return {**measured, "technique": request.technique, **request.parameters}
            case StepKind.PACKAGE:
                packed = self.artifacts[request.parent] if request.parent else self.subject.model
                made = self._result(request.parent) or {}
                known = {"filename": packed.name, "unchanged": request.parent is None, "summary": made.get("model")}
                return {**measured, **known, "untried": request.parameters.get("untried")}
            case _:
                return measured

    def _step(self, key: str | None) -> StepRecord | None:
        return next((step for step in self.steps if step.request.key == key), None)

    def _result(self, key: str) -> dict[str, Any] | None:
        """What a step found; `None` where there is none or it failed."""
        step = self._step(key)
        return step.result if step is not None and step.status is Status.COMPLETED else None

    def _format_of(self, key: str | None) -> str:
        """The format of what the step called `key` made; the original's without a key."""
        techniques: list[str] = []
        while (step := self._step(key)) is not None:
            techniques.insert(0, step.request.technique or "")
            key = step.request.parent
        return format_after(self.subject.format, techniques)


def installed_libraries() -> tuple[str, ...]:
    """The distributions that techniques need and this environment has: what a worker reports of itself."""
    return tuple(installed_versions({name for spec in catalogue().values() for name in spec.requires}))


def _tell(event: Event) -> None:
    if isinstance(event, LogLine) and event.level != "info":
        logger.warning(event.message)


def table(finished: Finished) -> str:
    """The candidates and the verdict for a terminal, and for the output of a failed test."""
    measured = finished.evaluations
    lines = []
    for one in finished.candidates:
        said = f"{one.key:7} {one.status:9} {one.title}"
        hope = one.predicted
        expected = f"predicted {hope.speedup:.2f}× {hope.size_ratio:.2f}× {hope.metric_drop_points:+.2f}, {hope.risk}"
        if report := measured.get(one.key):
            drop, speed = report.primary.drop, report.latency.speedup
            said += f"\n        measured {speed.value:.2f}× [{speed.low:.2f}, {speed.high:.2f}]"
            said += f" {report.size_bytes.ratio:.2f}× {drop.value:+.2f} [{drop.low:+.2f}, {drop.high:+.2f}]"
            said += f", {report.fidelity.sqnr_db:.1f} dB"
        lines += [said, f"        {expected}", f"        {one.reason}"]
    lines += [f"left out: {one.title}. {one.reason}" for one in finished.plan.omitted]
    lines += [
        f"{event.action}: {event.reason}" for event in finished.events if event.action in ("abandoned", "budget spent")
    ]
    verdict = finished.decision.verdict
    lines.append(f"{verdict.outcome}: {verdict.reason}" if verdict else f"failed: {finished.decision.failure}")
    durations = [(step.request.key, step.duration_s or 0.0) for step in finished.state.steps]
    lines.append(", ".join(f"{key} {seconds:.0f} s" for key, seconds in durations))
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "platform"))
    django.setup()
    parser = argparse.ArgumentParser(
        prog="python -m tests.sessions.driver", description="Run a session in this terminal."
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--format", choices=list(Format), default=Format.ONNX)
    parser.add_argument("--profile", choices=PROFILES, default="balanced")
    parser.add_argument("--task", type=Task, choices=list(Task), default=Task.CLASSIFICATION)
    parser.add_argument("--candidates", type=int, help="the most that are tried")
    parser.add_argument("--allow", nargs="+", help="techniques to try, all by default")
    parser.add_argument("--keep", type=Path, help="folder for the artifacts")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(relativeCreated)7.0f ms %(message)s", force=True)
    allowed = tuple(given.allow) if given.allow else None
    criteria = PROFILES[given.profile].model_copy(update={"allowed_techniques": allowed})
    if given.candidates:
        budget = criteria.budget.model_copy(update={"candidates": given.candidates})
        criteria = criteria.model_copy(update={"budget": budget})
    kind = DatasetKind.TEXT if given.data.suffix in (".jsonl", ".txt") else DatasetKind.NPZ
    subject = Subject(given.model, given.data, DatasetSpec(kind=kind, task=given.task), given.format)
    with tempfile.TemporaryDirectory() as folder:
        print(table(Driver(subject, criteria, given.keep or Path(folder)).run()))


if __name__ == "__main__":
    main()
