"""Asking every operation of the document: addresses with the ids of what there is, bodies from its own examples."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from tests.portal.world import World

JSON = "application/json"


def _two_items(world: World) -> str:
    return f"?item=session:{world.session.pk}&item=candidate:{world.session.pk}:c01"


ASKED: dict[str, Callable[[World], str]] = {
    "/api/v1/compare/": _two_items,
    "/api/v1/compare/csv/": _two_items,
    "/api/v1/trends/": lambda world: f"?model={world.model.pk}",
}
"""Queries that an operation cannot do without."""


def address(path: str, world: World) -> str:
    """The path with the ids of what there is."""
    rows = {
        "teams": world.team.slug,
        "models": world.model.pk,
        "versions": world.version.pk,
        "aliases": world.alias.pk,
        "datasets": world.dataset.pk,
        "uploads": world.upload.pk,
        "criteria": world.criteria.pk,
        "sessions": world.session.pk,
        "report-links": world.link.pk,
        "comments": world.comment.pk,
        "session-templates": world.template.pk,
        "saved-filters": world.saved.pk,
        "audit": world.event.sequence,
        "members": world.membership.pk,
        "invitations": world.invitation.pk,
        "logins": world.login.pk,
        "tokens": world.token.token_key,
        "service-accounts": world.service.pk,
        "alias-requests": world.request.pk,
        "notifications": world.entry.pk,
        "notification-channels": world.channel.pk,
        "notification-deliveries": world.delivery.pk,
    }
    before, _, after = path.partition("{")
    if path in ASKED:
        return path + ASKED[path](world)
    whole = f"{before}{rows[before.split('/')[3]]}{after.partition('}')[2]}" if after else path
    further = {"{key}": world.service_token.token_key, "{candidate}": "c01", "{name}": "3704.png"}
    for name, value in further.items():
        whole = whole.replace(name, value)
    return whole


def examples(operation: dict[str, Any], media: str = JSON) -> dict[str, Any]:
    """The examples of an operation's body, by name."""
    content = operation.get("requestBody", {}).get("content", {})
    return {name: one["value"] for name, one in content.get(media, {}).get("examples", {}).items()}


def filled(example: dict[str, Any], world: World) -> dict[str, Any]:
    """An example with the ids of what there is in the place of its own."""
    ids = {
        "model": world.model.pk,
        "version": world.version.pk,
        "compared": world.version.pk,
        "dataset": world.dataset.pk,
        "criteria_set": world.criteria.pk,
        "team_default": world.criteria.pk,
        "upload": str(world.upload.pk),
        "session": str(world.session.pk),
        "models": [world.model.pk],
        "datasets": [world.dataset.pk],
        "sessions": [str(world.session.pk)],
    }
    body = copy.deepcopy(example)
    return {**body, **{name: value for name, value in ids.items() if name in body}}
