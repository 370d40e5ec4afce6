"""Every page of the portal in a world of one of everything, for what must be true of each of them."""

from __future__ import annotations

from collections.abc import Mapping

from django.urls import reverse

from apps.models.models import InspectionStatus, ModelVersion
from apps.optimization.models import PipelineSettings
from tests.portal.world import World
from tests.screenshots.places import PLACES, STATES, Address, at, of_session, path


def _compared(world: World) -> str:
    number = world.model.versions.count() + 1
    other = ModelVersion.objects.create(
        model=world.model, number=number, blob=world.version.blob, filename="resnet.onnx", status=InspectionStatus.READY
    )
    return f"{reverse('optimization:compare')}?item=version:{world.version.pk}&item=version:{other.pk}"


def _continued(world: World) -> str:
    """A session with a step that another one can take over."""
    world.session.steps.filter(key="analyse").update(identity="0" * 64)
    return world.session.get_absolute_url() + "continue/"


def _confirmed(world: World) -> str:
    return f"{reverse('optimization:session-bulk')}?act=delete&item=session:{world.session.pk}"


FURTHER: Mapping[str, Address] = {
    "session-own": at("optimization:session-new", query="?own=1"),
    "session-compare": at("optimization:session-compare"),
    "session-continue": _continued,
    "compare": _compared,
    "bulk-confirm": _confirmed,
    "comment-edit": lambda world: of_session(f"comments/{world.comment.pk}/edit/")(world),
    "templates": at("optimization:template-list"),
    "template": lambda world: reverse("optimization:template-detail", args=[world.template.pk]),
    "criteria-edit": lambda world: reverse("optimization:criteria-edit", args=[world.criteria.pk]),
    "team-predictions": at("optimization:predictions"),
    "storage": at("optimization:storage"),
    "workers": at("optimization:workers"),
    "graph": lambda world: reverse("models:version-graph", args=[world.model.pk, world.version.number]),
    "service-accounts": at("accounts:service-accounts"),
    "service-account": lambda world: reverse("accounts:service-account", args=[world.service.pk]),
    "channel": lambda world: reverse("notifications:channel", args=[world.channel.pk]),
    "channel-new": at("notifications:new", query="?medium=chat&for=team"),
    "settings-of-the-installation": at("notifications:settings", query="?about=installation"),
    "two-factor": at("mfa_index"),
    "document": lambda world: reverse("guide:document", args=["user-guide"]),
    "document-of-errors": lambda world: reverse("guide:document", args=["errors"]),
    "operations": path("/operations/"),
    "reference": at("api-docs"),
}
"""Pages that few visit, or that need more than the world has."""

EVERY_PAGE: Mapping[str, Address] = {**PLACES, **STATES, **FURTHER}
"""As an owner of the team sees them who also operates the installation."""

AFTER_A_FORM = frozenset({"accounts/bulk_done.html"})
"""Templates of pages that only the answer to a form shows."""


def in_use(world: World) -> World:
    """The world as a portal that is in use leaves it: the verdict has its headline, and the settings have their row."""
    world.session.verdict["headline"] = {"tone": "good", "sentence": "4.2 times faster"}
    world.session.save(update_fields=["verdict"])
    PipelineSettings.current()
    return world
