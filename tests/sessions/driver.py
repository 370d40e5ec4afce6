"""A whole session through the pipeline's own door, for tests that look at what agents decide and measure.

Files go in as a member uploads them, `session_start` starts the session, and the pipeline builds every job: what stands
here turns its messages by hand, and reads the rows back as the values that the agents speak in.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.core.files import File

from apps.accounts.models import User
from apps.accounts.teams import team_for
from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.formats import Format
from apps.agents.contracts.reports.analysis import AnalysisReport
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.state import (
    AgentDecision,
    CandidateRecord,
    Decision,
    Plan,
    SessionState,
    Status,
    StepRecord,
    Verdict,
)
from apps.agents.session.finalists import at_level
from apps.agents.session.manager import OptimizationManager
from apps.agents.session.steps import ANALYSE, PACKAGE, PLAN, Steps, evaluate_key, judge_key
from apps.models.models import DataSet, ModelVersion
from apps.models.services import add_dataset, add_version, register_model
from apps.models.storage import local_path
from apps.optimization.models import OptimizationSession
from apps.optimization.services import session_start
from apps.optimization.snapshot import session_state
from tests.optimization import crank

SEED = 20261123
MOST_TURNS = 400


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
        found = [AnalysisReport.model_validate(one.result) for one in Steps.of(self.state).exported_analyses]
        return next(one for one in found if one.model.format == target)

    @property
    def plan(self) -> Plan:
        return Plan.model_validate(self._result(PLAN))

    @property
    def evaluations(self) -> dict[str, EvaluationReport]:
        """What ranked the candidates, by candidate: measured on the validation part."""
        return self._reports(evaluate_key)

    @property
    def judged(self) -> dict[str, EvaluationReport]:
        """What judged the finalists, by candidate: measured on the test part."""
        return self._reports(judge_key)

    def _reports(self, key_of: Callable[[str], str]) -> dict[str, EvaluationReport]:
        return {
            candidate.key: EvaluationReport.model_validate(step.result)
            for candidate in self.candidates
            if (step := self._step(key_of(candidate.key))) and step.status is Status.COMPLETED
        }

    @property
    def winner(self) -> EvaluationReport:
        """What judged the candidate that is handed over."""
        assert self.verdict.candidate is not None, f"nothing is handed over: {self.verdict.reason}"
        choice = self.verdict.choice
        assert choice is not None
        return at_level(self.judged[self.verdict.candidate], choice.sharing)

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

    def _result(self, key: str) -> dict[str, Any]:
        step = self._step(key)
        assert step is not None, f"the session has no step {key}"
        return step.result


def drive(user: User, model: Path, data: Path, spec: DatasetSpec, criteria: Criteria, folder: Path) -> Finished:
    """Uploads both files for `user`, runs a session on them to its end, and copies what it made to `folder`."""
    version, dataset = _uploaded(user, model, data, spec)
    session = session_start(
        user=user, version=version, dataset=dataset, criteria=criteria, seed=SEED, start_anyway=True
    )
    artifacts = _run(session, folder)
    session.refresh_from_db()
    broken = session.steps.exclude(traceback="").first()
    assert broken is None, f"{broken} broke:\n{broken and broken.traceback}"
    state = session_state(session)
    # Asked again, the manager says how it ended: its answer depends on nothing but what stands in the rows.
    return Finished(state, OptimizationManager().next(state), artifacts)


def _uploaded(user: User, model: Path, data: Path, spec: DatasetSpec) -> tuple[ModelVersion, DataSet]:
    """Both files as a member uploads them, and as the checks of a worker leave them."""
    team = team_for(user, None)
    name = f"{model.stem} {ModelVersion.objects.count()}"
    with model.open("rb") as file, data.open("rb") as examples:
        version = add_version(register_model(team, user, name), user, file=File(file, model.name))
        dataset = add_dataset(team, user, name, spec.model_dump(mode="json"), file=File(examples, data.name))
    crank.turn_until_quiet()
    for row in (version, dataset):
        row.refresh_from_db()
        assert row.ready, row.refusal
    return version, dataset


def _run(session: OptimizationSession, folder: Path) -> dict[str, Path]:
    """Turns the session to its end. A copy of what each step left, by key: the session lets some files go."""
    kept: dict[str, Path] = {}
    for _ in range(MOST_TURNS):
        turned = crank.turn()
        for step in session.steps.exclude(artifact=None).exclude(key__in=kept).select_related("artifact"):
            place = folder / step.key.replace("/", "-")
            place.mkdir(parents=True)
            assert step.artifact is not None
            with local_path(step.artifact) as path:
                kept[step.key] = Path(shutil.copy(path, place / step.artifact_filename))
        if not turned:
            return kept
    raise AssertionError(f"the session does not end in {MOST_TURNS} turns")


def table(finished: Finished) -> str:
    """The candidates and the verdict for a terminal, and for the output of a failed test."""
    measured, judged = finished.evaluations, finished.judged
    lines = []
    for one in finished.candidates:
        said = f"{one.key:7} {one.status:9} {one.title}"
        hope = one.predicted
        expected = f"predicted {hope.speedup:.2f}× {hope.size_ratio:.2f}× {hope.metric_drop_points:+.2f}, {hope.risk}"
        for how, report in (("measured", measured.get(one.key)), ("judged", judged.get(one.key))):
            if report is None:
                continue
            drop, speed = report.primary.drop, report.latency.speedup
            said += f"\n        {how} {speed.value:.2f}× [{speed.low:.2f}, {speed.high:.2f}]"
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
