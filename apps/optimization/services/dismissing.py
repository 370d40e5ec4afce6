"""Items of the dashboard that a member dismisses, for themselves only."""

from __future__ import annotations

from typing import Any, cast

from django.db.models import Exists, OuterRef

from apps.accounts.models import User
from apps.models.models import AliasRequest, DataSet, ModelVersion
from apps.optimization.models import Dismissal, OptimizationSession
from apps.optimization.models.dismissal import ITEMS
from apps.visibility import Row, TeamOwnedQuerySet

Item = OptimizationSession | ModelVersion | DataSet | AliasRequest
DISMISSIBLE: dict[str, type[Any]] = {
    name: cast("type[Any]", Dismissal._meta.get_field(name).related_model) for name in ITEMS
}
"""By the field of `Dismissal` that refers to it."""


def dismiss(user: User, item: Item) -> None:
    """Takes `item`, which the caller has checked is visible to `user`, off their dashboard until something new happens
    to it. Repeating it is harmless.
    """
    ended_at = item.finished_at if isinstance(item, OptimizationSession) else None
    subject: dict[str, Any] = {_field(type(item)): item}
    Dismissal.objects.update_or_create(user=user, **subject, defaults={"ended_at": ended_at})


def not_dismissed(rows: TeamOwnedQuerySet[Row], user: User) -> Any:
    """`rows` without those that `user` has dismissed. A session that has ended again since is among them."""
    field = _field(rows.model)
    gone = Dismissal.objects.filter(user=user, **{field: OuterRef("pk")})
    if field == "session":
        gone = gone.filter(ended_at__gte=OuterRef("finished_at"))
    return rows.filter(~Exists(gone))


def _field(model: type[Any]) -> str:
    return next(field for field, one in DISMISSIBLE.items() if one is model)
