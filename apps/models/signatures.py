"""The choice among a model's signatures: a member chooses one, and a worker inspects the file again."""

from __future__ import annotations

from django.db import models, transaction
from django.utils.translation import gettext as _

from apps.accounts.models import Role, User
from apps.accounts.services import require_role
from apps.audit import trail
from apps.models import messages
from apps.models.errors import SignatureInUse, SignatureNotOffered, VersionNotReady
from apps.models.models import ModelVersion
from apps.outages import require_queue


@transaction.atomic
def choose_signature(version: ModelVersion, user: User, name: str) -> ModelVersion:
    """Switches `version` to the signature called `name`. It is pending until a worker has inspected it again.

    Choosing the current signature changes nothing. Raises `PermissionDenied`, `VersionNotReady`,
    `SignatureNotOffered`, `QueueAway`, and `SignatureInUse` if the version has been measured, because evidence must not
    change.
    """
    require_role(user, version.model.team, Role.ENGINEER)
    row = ModelVersion.objects.select_for_update().get(pk=version.pk)
    if not row.ready:
        raise VersionNotReady(version=row, status=row.get_status_display().lower())
    summary = row.metadata.summary
    offered = [signature.name for signature in summary.signatures]
    if name not in offered:
        known = ", ".join(offered) or _("none")
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
    """A row that uses the version and protects it from deletion, by kind and name."""
    for relation in ModelVersion._meta.related_objects:
        if relation.on_delete is models.PROTECT:
            rows = relation.related_model._default_manager.filter(**{relation.field.name: version})
            if (row := rows.first()) is not None:
                return _("the {kind} {name}").format(kind=row._meta.verbose_name, name=row)
    return None
