"""One action on many rows: each is checked and recorded by itself, and one that fails does not hold up the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Model

from apps.agents.contracts.values import Value
from apps.errors import UserError

Row = TypeVar("Row", bound=Model)
REFUSED = "request.permission_denied"
"""The code of a refusal by role, as the API gives it."""


class ItemOutcome(Value):
    """What became of one row: done, or the reason why not."""

    id: str
    title: str
    code: str | None = None
    message: str | None = None

    @property
    def done(self) -> bool:
        return self.code is None


def act_on_each(rows: Iterable[Row], act: Callable[[Row], object]) -> tuple[ItemOutcome, ...]:
    """Applies `act` to each row, in a transaction of its own. Expected failures become outcomes; bugs are raised."""
    return tuple(_outcome(row, act) for row in rows)


def _outcome(row: Row, act: Callable[[Row], object]) -> ItemOutcome:
    pk, title = str(row.pk), str(row)  # a deleted row no longer knows its key
    try:
        with transaction.atomic():
            act(row)
    except UserError as error:
        return ItemOutcome(id=pk, title=title, code=error.code, message=error.message)
    except PermissionDenied as error:
        return ItemOutcome(id=pk, title=title, code=REFUSED, message=str(error))
    return ItemOutcome(id=pk, title=title)
