"""What is shown: each page with its address in a world of one of everything, and states that this world is not in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta

from django.urls import reverse
from django.utils import timezone

from apps.accounts.link_tokens import digest_of
from apps.agents.contracts.state import Outcome, Phase, Status, StepKind
from apps.models.models import InspectionStatus, ModelVersion
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


def cancelled(world: World) -> str:
    return _session(world, status=Status.CANCELLED, phase=Phase.OPTIMIZING, progress=0.4).get_absolute_url()


def ended(outcome: Outcome, reason: str) -> Address:
    """A session that improved nothing, and says why."""
    said = {"outcome": outcome, "reason": reason, "candidate": None, "binding": None}
    verdict = {**said, "misses": [], "inconclusive": [], "headline": {"tone": "neutral", "sentence": reason[:-1]}}
    done = {"status": Status.COMPLETED, "phase": Phase.PACKAGING, "progress": 1.0, "finished_at": timezone.now()}
    return lambda world: _session(world, **done, outcome=outcome, verdict=verdict).get_absolute_url()


def version_of(status: InspectionStatus, **fields: object) -> Address:
    """The page of a version that cannot be used: not yet, or not at all."""

    def made(world: World) -> str:
        new = {
            "number": world.model.versions.count() + 1,
            "blob": world.version.blob,
            "filename": "resnet.onnx",
            "status": status,
            **fields,
        }
        return ModelVersion.objects.create(model=world.model, **new).get_absolute_url()

    return made


STATES: Mapping[str, Address] = {
    "session-queued": queued,
    "session-running": running,
    "session-failed": failed,
    "session-cancelled": cancelled,
    "session-unchanged": ended(Outcome.UNCHANGED, "No candidate held every limit. The original stands."),
    "session-inconclusive": ended(Outcome.INCONCLUSIVE, "The data cannot decide about the limit on the loss."),
    "version-pending": version_of(InspectionStatus.PENDING),
    "version-refused": version_of(InspectionStatus.REFUSED, refusal="It is no model.", refusal_code="file.unknown"),
}

_TOKEN = "shown"


def shared_report(world: World) -> str:
    type(world.link).objects.filter(pk=world.link.pk).update(token_digest=digest_of(_TOKEN))
    return reverse("optimization:shared-report", args=[_TOKEN])


def invitation(world: World) -> str:
    type(world.invitation).objects.filter(pk=world.invitation.pk).update(token_digest=digest_of(_TOKEN))
    return reverse("accounts:invitation-accept", args=[_TOKEN])


VISITED: Mapping[str, Address] = {
    "login": at("account_login"),
    "reset": at("account_reset_password"),
    "reset-sent": at("account_reset_password_done"),
    "invitation": invitation,
    "shared-report": shared_report,
}
"""As somebody without a login sees them."""

EMPTY: Mapping[str, str] = {
    "dashboard-empty": "optimization:dashboard",
    "sessions-empty": "optimization:session-list",
    "models-empty": "models:model-list",
    "datasets-empty": "models:dataset-list",
    "approvals-empty": "models:approval-list",
    "notifications-empty": "notifications:list",
}
"""As a team sees them that has just begun."""
