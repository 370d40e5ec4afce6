"""Which function of a model that offers several is meant: a member chooses, and a worker looks at the file again."""

from __future__ import annotations

from django.db import models, transaction

from apps.accounts.models import Role, User
from apps.accounts.services import require_role
from apps.audit import trail
from apps.models import messages
from apps.models.errors import SignatureInUse, SignatureNotOffered, VersionNotReady
from apps.models.models import ModelVersion
from apps.outages import require_queue


@transaction.atomic
def choose_signature(version: ModelVersion, user: User, name: str) -> ModelVersion:
    """Has `version` be about the signature called `name`: it is pending until a worker has looked at it so.

    Choosing what is chosen already changes nothing. Raises `PermissionDenied`, `VersionNotReady`,
    `SignatureNotOffered`, `QueueAway`, and `SignatureInUse` where something was measured of the version: evidence stays
    what it was.
    """
    require_role(user, version.model.team, Role.ENGINEER)
    row = ModelVersion.objects.select_for_update().get(pk=version.pk)
    if not row.ready:
        raise VersionNotReady(version=row, status=row.get_status_display().lower())
    summary = row.metadata.summary
    offered = [signature.name for signature in summary.signatures]
    if name not in offered:
        known = ", ".join(offered) or "none that can be chosen"
        raise SignatureNotOffered(field="name", version=row, name=name, offered=known)
    if name == summary.signature:
        return row
    if user_of := _held_by(row):
        raise SignatureInUse(version=row, user=user_of)
    require_queue()
    row.signature = name
    row.save(update_fields=["signature"])
    row.look_again()
    transaction.on_commit(lambda: messages.send_version(row.pk))
    data = {"from": summary.signature, "to": name}
    trail.record("version.signature_chosen", actor=user, team=row.model.team, subject=str(row), data=data)
    return row


def _held_by(version: ModelVersion) -> str | None:
    """A row that rests on what the version is, by kind and name: one that keeps it from being deleted."""
    for relation in ModelVersion._meta.related_objects:
        if relation.on_delete is models.PROTECT:
            rows = relation.related_model._default_manager.filter(**{relation.field.name: version})
            if (row := rows.first()) is not None:
                return f"the {row._meta.verbose_name} {row}"
    return None
