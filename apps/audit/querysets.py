"""Read access to the audit trail."""

from __future__ import annotations

from typing import NoReturn, Self

from apps.visibility import Row, TeamOwnedQuerySet


class AuditTrailImmutable(TypeError):
    """Code tried to change or delete an audit event. No user action leads here."""

    def __init__(self) -> None:
        super().__init__("audit events are append-only and cannot be changed or deleted")


class AuditQuerySet(TeamOwnedQuerySet[Row]):
    """Allows reads and `create`, and refuses everything that would change or bypass the chain."""

    def in_order(self) -> Self:
        return self.order_by("sequence")

    def _refuse(self, *args: object, **kwargs: object) -> NoReturn:
        raise AuditTrailImmutable

    update = aupdate = delete = adelete = _raw_delete = _refuse
    bulk_create = abulk_create = bulk_update = abulk_update = _update = _refuse
    update_or_create = aupdate_or_create = _refuse
