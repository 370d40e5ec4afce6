"""Reading the audit trail, and nothing that would change it."""

from __future__ import annotations

from typing import NoReturn, Self

from apps.visibility import Row, TeamOwnedQuerySet


class AuditTrailImmutable(TypeError):
    """Code tried to change or delete an audit event. Nothing a user does leads here."""

    def __init__(self) -> None:
        super().__init__("audit events are only ever added: they cannot be changed or deleted")


class AuditQuerySet(TeamOwnedQuerySet[Row]):
    """Reads and `create`; everything that would change or skip the chain is refused."""

    def in_order(self) -> Self:
        return self.order_by("sequence")

    def _refuse(self, *args: object, **kwargs: object) -> NoReturn:
        raise AuditTrailImmutable

    update = aupdate = delete = adelete = _raw_delete = _refuse
    bulk_create = abulk_create = bulk_update = abulk_update = _update = _refuse
    update_or_create = aupdate_or_create = _refuse
