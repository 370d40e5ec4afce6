"""The way that a team's own script takes: files over the API, the workers' checks, a session, its verdict.

Nothing is built by hand here that the pipeline builds: uploads go through the API's own addresses with a real token,
checks and steps run in real child processes as the worker runs them, and only the messages between them are turned by
hand (`tests.optimization.crank`). A test asks for the fixture `door`, and is marked with
`pytest.mark.django_db(transaction=True)` and, as it takes more than ten seconds, with `slow`.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from apps.accounts.models import TokenScope, User
from apps.accounts.services import create_token
from apps.agents.contracts.criteria import Budget, Constraints, Criteria, Objective
from apps.agents.contracts.job import Job
from apps.agents.contracts.state import Status, StepKind
from apps.models.models import DataSet, ModelVersion
from apps.models.storage import open_blob
from apps.optimization import jobs, services
from apps.optimization.models import OptimizationSession, SessionStep
from tests.optimization import crank

API = "/api/v1"
SEED = 7
_numbers = itertools.count(1)


def quick(*techniques: str, **changes: Any) -> Criteria:
    """Criteria of a session that a test can wait for: size first, one candidate, nearly every loss is bearable."""
    usual: dict[str, Any] = {
        "objective": Objective.SIZE,
        "constraints": Constraints(max_metric_drop_points=30.0),
        "allowed_techniques": techniques or None,
        "budget": Budget(minutes=1.0, candidates=1),
    }
    return Criteria(**{**usual, **changes})


@dataclass
class Door:
    """The API as one member of a team uses it."""

    user: User
    client: APIClient = field(default_factory=APIClient)

    def __post_init__(self) -> None:
        _, token = create_token(self.user, name="door", scope=TokenScope.WRITE, days=1)
        self.client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")

    def post(self, path: str, body: Mapping[str, Any], *, status: int = 201, multipart: bool = False) -> dict[str, Any]:
        """The answer to a request, which must have the `status`."""
        answer = self.client.post(f"{API}/{path}/", body, format="multipart" if multipart else "json")
        assert answer.status_code == status, f"{path}: {answer.status_code} {answer.content[:2000]!r}"
        return dict(answer.json())

    # --- files in ---------------------------------------------------------------------------------------------------

    def send_model(self, content: bytes | Path, filename: str = "") -> ModelVersion:
        """Uploads a model and lets a worker check it. It may come back refused."""
        name = f"model {next(_numbers)}"
        model = self.post("models", {"name": name})["id"]
        body = {"model": model, "file": _file(content, filename)}
        version = self.post("versions", body, multipart=True)["id"]
        crank.turn_until_quiet()
        return ModelVersion.objects.select_related("model").get(pk=version)

    def send_data(self, content: bytes | Path, spec: Mapping[str, Any], filename: str = "") -> DataSet:
        """Uploads a data set and lets a worker check it. It may come back refused."""
        body = {"name": f"data {next(_numbers)}", "spec": json.dumps(spec), "file": _file(content, filename)}
        dataset = self.post("datasets", body, multipart=True)["id"]
        crank.turn_until_quiet()
        return DataSet.objects.get(pk=dataset)

    def model(self, content: bytes | Path, filename: str = "") -> ModelVersion:
        """As `send_model`, and it must be ready."""
        version = self.send_model(content, filename)
        assert version.ready, f"{version.refusal_code}: {version.refusal}"
        return version

    def data(self, content: bytes | Path, spec: Mapping[str, Any], filename: str = "") -> DataSet:
        """As `send_data`, and it must be ready."""
        dataset = self.send_data(content, spec, filename)
        assert dataset.ready, f"{dataset.refusal_code}: {dataset.refusal}"
        return dataset

    def chosen(self, version: ModelVersion, signature: str) -> ModelVersion:
        """The version once it is about another of its signatures, checked again and ready."""
        self.post(f"versions/{version.pk}/signature", {"name": signature}, status=200)
        crank.turn_until_quiet()
        version = ModelVersion.objects.get(pk=version.pk)
        assert version.ready, f"{version.refusal_code}: {version.refusal}"
        return version

    # --- a session --------------------------------------------------------------------------------------------------

    def preview(self, version: ModelVersion, dataset: DataSet, criteria: Criteria | None = None) -> dict[str, Any]:
        """What the API says before a session starts, with its status."""
        answer = self.client.post(f"{API}/sessions/preview/", _question(version, dataset, criteria), format="json")
        return {**answer.json(), "status_code": answer.status_code}

    def start(
        self, version: ModelVersion, dataset: DataSet, criteria: Criteria | None = None, **more: int
    ) -> OptimizationSession:
        """A session that has been asked for and not yet been worked on, though the preview may find nothing to try.

        `more` of the request, such as the id of a `student`.
        """
        made = self.post("sessions", {**_question(version, dataset, criteria), "start_anyway": True, **more})
        return OptimizationSession.objects.get(pk=made["id"])

    def run(
        self, version: ModelVersion, dataset: DataSet, criteria: Criteria | None = None, **more: int
    ) -> OptimizationSession:
        """A session that has come to its end, whichever it is."""
        session = self.start(version, dataset, criteria, **more)
        crank.turn_until_quiet(limit=200)
        session.refresh_from_db()
        print(told(session))
        return session

    def verdict(
        self, version: ModelVersion, dataset: DataSet, criteria: Criteria | None = None, **more: int
    ) -> OptimizationSession:
        """As `run`, and it must have come to a verdict."""
        session = self.run(version, dataset, criteria, **more)
        assert session.status == Status.COMPLETED, told(session)
        return session

    def promoted(self, session: OptimizationSession) -> ModelVersion:
        """The version that a session's artifact becomes, checked as any other, ready for a session of its own."""
        answer = self.post(f"sessions/{session.pk}/promote", {"alias": "production"}, status=200)
        crank.turn_until_quiet()
        version = ModelVersion.objects.get(pk=answer["version"])
        assert version.ready, f"{version.refusal_code}: {version.refusal}"
        return version

    def package(self, session: OptimizationSession) -> bytes:
        """The bytes of the session's package."""
        with open_blob(services.package_of(session).blob) as file:
            return file.read()


@contextmanager
def shorter_sensitivity(seconds: float) -> Iterator[None]:
    """The pipeline's jobs as they are, with one number more: how long an analysis may look for fragile layers."""
    usual = jobs.job_of

    def shortened(step: SessionStep, folder: Path, inputs: Mapping[str, Path]) -> Job:
        job = usual(step, folder, inputs)
        looked = {"sensitivity_budget_s": seconds} if step.kind == StepKind.ANALYSE else {}
        return job.model_copy(update={"arguments": job.arguments | looked})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "job_of", shortened)
        yield


def _question(version: ModelVersion, dataset: DataSet, criteria: Criteria | None) -> dict[str, Any]:
    wanted = (criteria or quick()).model_dump(mode="json")
    return {"version": version.pk, "dataset": dataset.pk, "criteria": wanted, "seed": SEED}


def _file(content: bytes | Path, filename: str) -> SimpleUploadedFile:
    if isinstance(content, Path):
        return SimpleUploadedFile(filename or content.name, content.read_bytes())
    return SimpleUploadedFile(filename or "file", content)


def told(session: OptimizationSession) -> str:
    """Everything a session says of itself, for the output of a failed test."""
    verdict = (session.verdict or {}).get("reason", "")
    lines = [f"{session.status} {session.outcome or ''} {session.error_code}: {session.error}{verdict}"]
    for step in session.steps.order_by("pk"):
        trace = f"\n{step.traceback}" if step.traceback else ""
        lines.append(f"  step {step.key} {step.status} {step.error_code} {step.error}{trace}")
    lines += [f"  candidate {one.key} {one.title}: {one.status}. {one.reason}" for one in session.candidates.all()]
    lines += [f"  {line.level}: {line.message}" for line in session.log.all() if line.level != "info"]
    return "\n".join(lines)
