"""One of everything, for tests that walk the whole portal: rows as the services leave them; nothing is run."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

from django.contrib.sessions.backends.db import SessionStore
from django.core.files.storage import default_storage
from django.utils import timezone

from apps.accounts import service_accounts
from apps.accounts.models import ApiToken, Invitation, Login, Membership, Role, SavedFilter, Team, TokenScope, User
from apps.accounts.tokens import create_token
from apps.agents.contracts.criteria import PROFILES
from apps.agents.contracts.reports.answers import Answers, RanOperator
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.contracts.state import CandidateStatus, Outcome, Phase, Plan, Status, StepKind
from apps.agents.files.answers_file import write_answers
from apps.audit import trail
from apps.audit.models import AuditEvent
from apps.models import storage
from apps.models.models import (
    Alias,
    AliasMove,
    AliasRequest,
    Blob,
    DataSet,
    InspectionStatus,
    ModelMetadata,
    ModelVersion,
    RegisteredModel,
    Upload,
)
from apps.notifications import kinds
from apps.notifications.models import (
    Attempt,
    BellEntry,
    Channel,
    Delivery,
    DeliveryStatus,
    Medium,
    Notification,
)
from apps.notifications.webhooks import new_secret
from apps.optimization.models import (
    AnalysisReport,
    Candidate,
    CriteriaSet,
    LogEntry,
    OptimizationSession,
    ReportLink,
    SessionComment,
    SessionStep,
    SessionTemplate,
    Worker,
)
from apps.optimization.outcomes import keep_answers, keep_report

PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==")
REPORTS = Path(__file__).parent / "reports"


def report_body(name: str) -> dict[str, Any]:
    """A real report, as a worker once wrote it."""
    return json.loads((REPORTS / f"{name}.json").read_text())


@dataclass
class World:
    team: Team
    model: RegisteredModel
    version: ModelVersion
    alias: Alias
    dataset: DataSet
    upload: Upload
    criteria: CriteriaSet
    session: OptimizationSession
    invitation: Invitation
    membership: Membership
    """Of somebody who is nobody's test person."""
    event: AuditEvent
    channel: Channel
    """A webhook of the team."""
    entry: BellEntry
    """In the bell of the one who built the world."""
    delivery: Delivery
    request: AliasRequest
    """For a move of the alias, by the one of `membership`."""
    service: Membership
    service_token: ApiToken
    token: ApiToken
    """Of the one who built the world."""
    login: Login
    """Of the one who built the world."""
    link: ReportLink
    """To the report of the session."""
    saved: SavedFilter
    """Of the one who built the world, shared with the team."""
    comment: SessionComment
    """On the session, by the one who built the world."""
    template: SessionTemplate
    """Of the model, with the settings of the session."""


def stored(content: bytes) -> Blob:
    """The blob of `content`. Its file stays for the next test, as the store waits for the clock with each new one."""
    blob, _ = Blob.objects.get_or_create(
        sha256=hashlib.sha256(content).hexdigest(), defaults={"size_bytes": len(content)}
    )
    return blob if default_storage.exists(blob.storage_name) else storage.put_stream([content])


def build(team: Team, by: User) -> World:
    """One of everything in `team`, with a finished session that found something better."""
    blob = stored(b"the bytes of a model")
    model = RegisteredModel.objects.create(team=team, name="resnet", created_by=by)
    version = ModelVersion.objects.create(
        model=model, number=1, blob=blob, filename="resnet.onnx", status=InspectionStatus.READY, created_by=by
    )
    analysis = report_body("analysis")
    ModelMetadata.record(version, ModelSummary.model_validate(analysis["model"]))
    alias = Alias.objects.create(model=model, name="production", version=version)
    AliasMove.objects.create(alias=alias, to_version=version, moved_by=by)
    dataset = DataSet.objects.create(
        team=team,
        name="test images",
        blob=stored(b"the bytes of a data set"),
        filename="test.npz",
        spec={"kind": "npz", "task": "classification"},
        status=InspectionStatus.READY,
        summary=report_body("dataset"),
        created_by=by,
    )
    later = timezone.now() + timedelta(hours=1)
    upload = Upload.objects.create(team=team, user=by, filename="next.onnx", size_bytes=10, expires_at=later)
    criteria = CriteriaSet.objects.create(
        team=team, name="ours", body=PROFILES["fastest"].model_dump(mode="json"), created_by=by
    )
    invitation = Invitation.objects.create(
        team=team, email="nina@example.org", token_digest="0" * 64, invited_by=by, expires_at=later
    )
    membership = Membership.objects.create(
        team=team, user=User.objects.create_user("max@example.org"), role=Role.VIEWER
    )
    session = finished_session(version, dataset, criteria, by)
    Worker.objects.create(name="worker-1", queues=["cpu"], machine=analysis["machine"])
    event = trail.record("session.started", actor=by, session=session, subject=str(version))
    channel, entry, delivery = told(team, by)
    rows = (team, model, version, alias, dataset, upload, criteria, session, invitation, membership, event)
    request = AliasRequest.objects.create(
        alias=alias, from_version=version, to_version=version, from_number=1, to_number=1, asked_by=membership.user
    )
    service = service_accounts.create(by=by, team=team, name="nightly builds", role=Role.ENGINEER)
    made = {"name": "nightly", "scope": TokenScope.READ, "days": 30}
    service_token, _ = service_accounts.create_token(service, by=by, **made)
    token, _ = create_token(by, **made)
    session_of_browser = SessionStore()
    session_of_browser.create()
    login = Login.objects.create(
        session_id=session_of_browser.session_key, user=by, address="203.0.113.7", device="Firefox on Linux"
    )
    link = ReportLink.objects.create(session=session, token_digest="1" * 64, created_by=by, expires_at=later)
    comment = SessionComment.objects.create(session=session, author=by, text="Good enough for **production**.")
    saved = SavedFilter.objects.create(
        team=team, user=by, listing="sessions", name="Failed", query="status=failed", shared=True
    )
    template = SessionTemplate.objects.create(
        model=model,
        name="Weekly",
        dataset=dataset,
        criteria_set=criteria,
        criteria_body=criteria.body,
        created_by=by,
    )
    later_rows = (request, service, service_token, token, login, link, saved, comment, template)
    return World(*rows, channel, entry, delivery, *later_rows)


def told(team: Team, by: User) -> tuple[Channel, BellEntry, Delivery]:
    """A notification in the bell of `by`, delivered to a webhook of the team."""
    channel = Channel.objects.create(
        team=team,
        medium=Medium.WEBHOOK,
        name="build server",
        address="https://hooks.example.org/lathe",
        kinds=list(kinds.offered(installation=False)),
        secret=new_secret(),
        created_by=by,
    )
    notification = Notification.objects.create(
        team=team, event=10**9 + team.pk, kind="session.finished", title="resnet v1: done", path="/sessions/"
    )
    entry = BellEntry.objects.create(notification=notification, user=by)
    delivery = Delivery.objects.create(
        channel=channel, notification=notification, status=DeliveryStatus.DELIVERED, tries=1, ended_at=timezone.now()
    )
    Attempt.objects.create(delivery=delivery, status=204, took_ms=12)
    return channel, entry, delivery


def answers_content() -> bytes:
    """The file of what was seen when a candidate was judged, each example with a picture of one pixel."""
    answers = Answers.model_validate(report_body("answers"))
    pictures = {one.excerpt.picture: PIXEL for one in answers.shown if one.excerpt.picture}
    file = BytesIO()
    ran = (
        RanOperator(layer="stem.0", operator="QuantizeLinear", time_ms=0.001),
        RanOperator(layer="stem.0", operator="QLinearConv", time_ms=0.003),
        RanOperator(layer="", operator="Softmax", time_ms=0.004),
    )
    write_answers(file, answers, pictures, ran)
    return file.getvalue()


def finished_session(version: ModelVersion, dataset: DataSet, criteria: CriteriaSet, by: User) -> OptimizationSession:
    now = timezone.now()
    session = OptimizationSession.objects.create(
        team=version.model.team,
        version=version,
        dataset=dataset,
        criteria_set=criteria,
        criteria_body=criteria.body,
        status=Status.COMPLETED,
        phase=Phase.PACKAGING,
        progress=1.0,
        outcome=Outcome.IMPROVED,
        verdict={
            "outcome": "improved",
            "candidate": "c01",
            "binding": None,
            "reason": "c01 is 4.2 times faster within every limit.",
            "misses": [],
            "inconclusive": [],
        },
        plan=report_body("plan"),
        package=stored(b"the bytes of a package"),
        created_by=by,
        started_at=now - timedelta(minutes=3),
        finished_at=now,
    )
    planned = Plan.model_validate(session.plan).candidates[0]
    Candidate.objects.create(
        session=session,
        key="c01",
        title=planned.title,
        technique=planned.technique,
        steps=[link.model_dump(mode="json") for link in planned.steps],
        predicted=planned.predicted.model_dump(mode="json"),
        status=CandidateStatus.SELECTED,
        reason="Holds every constraint.",
        score=4.2,
    )
    for key, kind in (("analyse", StepKind.ANALYSE), ("plan", StepKind.PLAN), ("c01/optimize", StepKind.OPTIMIZE)):
        SessionStep.objects.create(
            session=session, key=key, kind=kind, status=Status.COMPLETED, started_at=now, finished_at=now
        )
    analysed = session.steps.get(key="analyse")
    analysed.result = report_body("analysis")
    analysed.save()
    AnalysisReport.objects.create(session=session, step=analysed)
    body = report_body("evaluation")
    evaluated = SessionStep.objects.create(
        session=session,
        key="c01/evaluate",
        kind=StepKind.EVALUATE,
        candidate_key="c01",
        status=Status.COMPLETED,
        result=body,
        artifact=stored(b"the bytes of an artifact"),
        artifact_filename="model.onnx",
    )
    keep_report(evaluated)
    session.keep_gains()
    keep_answers(evaluated, stored(answers_content()))
    LogEntry.objects.create(session=session, step_key="analyse", message="88 operators")
    return session
