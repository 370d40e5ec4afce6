"""What is shown: each page with its address in a world of one of everything, and states that this world is not in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta

from django.urls import reverse
from django.utils import timezone

from apps.agents.contracts.state import Phase, Status, StepKind
from apps.optimization.models import OptimizationSession, SessionStep
from tests.portal.world import World, report_body

Address = Callable[[World], str]


def at(name: str, *, query: str = "") -> Address:
    return lambda world: reverse(name) + query


def path(address: str) -> Address:
    return lambda world: address


def of_session(below: str = "") -> Address:
    return lambda world: world.session.get_absolute_url() + below


def of_model(name: str) -> Address:
    return lambda world: reverse(f"models:{name}", args=[world.model.pk])


def _question(world: World) -> str:
    rows = f"version={world.version.pk}&dataset={world.dataset.pk}&criteria_set={world.criteria.pk}"
    return f"{reverse('optimization:session-new')}?{rows}"


PLACES: Mapping[str, Address] = {
    "dashboard": at("optimization:dashboard"),
    "sessions": at("optimization:session-list"),
    "session-new": _question,
    "session": of_session(),
    "report": of_session("report/"),
    "report-links": of_session("links/"),
    "template-new": of_session("template/"),
    "predictions": of_session("predictions/"),
    "layers": of_session("layers/"),
    "models": at("models:model-list"),
    "model-upload": at("models:model-upload"),
    "model": of_model("model-detail"),
    "model-card": of_model("model-card"),
    "version": lambda world: world.version.get_absolute_url(),
    "datasets": at("models:dataset-list"),
    "dataset-upload": at("models:dataset-upload"),
    "dataset": lambda world: world.dataset.get_absolute_url(),
    "criteria": at("optimization:criteria-list"),
    "criteria-new": at("optimization:criteria-new"),
    "criteria-detail": lambda world: world.criteria.get_absolute_url(),
    "compare-empty": at("optimization:compare"),
    "team": at("accounts:team"),
    "tokens": path("/tokens/"),
    "logins": at("accounts:logins"),
    "approvals": at("models:approval-list"),
    "audit": path("/audit/"),
    "notifications": at("notifications:list"),
    "notification-settings": at("notifications:settings"),
    "deliveries": at("notifications:deliveries"),
    "password": at("account_change_password"),
    "language-and-time": at("accounts:time-zone"),
    "search": at("guide:find", query="?search=resnet"),
    "documents": at("guide:documents"),
    "styleguide": at("guide:styleguide"),
    "not-found": path("/models/999999/"),
}


# --- states ----------------------------------------------------------------------------------------------------------


def _session(world: World, **fields: object) -> OptimizationSession:
    known = {"team": world.team, "version": world.version, "dataset": world.dataset, "criteria_set": world.criteria}
    begun = timezone.now() - timedelta(minutes=2)
    return OptimizationSession.objects.create(
        **known, criteria_body=world.criteria.body, created_by=world.session.created_by, started_at=begun, **fields
    )


def queued(world: World) -> str:
    return _session(world, status=Status.QUEUED).get_absolute_url()


def running(world: World) -> str:
    """With a step that is half done."""
    session = _session(world, status=Status.RUNNING, phase=Phase.OPTIMIZING, progress=0.4, plan=report_body("plan"))
    now = timezone.now()
    for key, kind in (("analyse", StepKind.ANALYSE), ("plan", StepKind.PLAN)):
        done = {"status": Status.COMPLETED, "started_at": now - timedelta(seconds=30), "finished_at": now}
        SessionStep.objects.create(session=session, key=key, kind=kind, **done)
    made = {"key": "c01/optimize", "kind": StepKind.OPTIMIZE, "candidate_key": "c01", "progress": 0.5}
    SessionStep.objects.create(session=session, status=Status.RUNNING, message="Calibrating", started_at=now, **made)
    return session.get_absolute_url()


def failed(world: World) -> str:
    session = _session(world, status=Status.RUNNING, phase=Phase.OPTIMIZING, progress=0.4)
    session.fail("technique.failed", "The technique failed: the model has no convolution.", "")
    return session.get_absolute_url()


STATES: Mapping[str, Address] = {"session-queued": queued, "session-running": running, "session-failed": failed}

EMPTY: Mapping[str, str] = {
    "dashboard-empty": "optimization:dashboard",
    "sessions-empty": "optimization:session-list",
    "models-empty": "models:model-list",
    "datasets-empty": "models:dataset-list",
    "approvals-empty": "models:approval-list",
    "notifications-empty": "notifications:list",
}
"""As a team sees them that has just begun."""
