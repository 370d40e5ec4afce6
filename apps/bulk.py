"""One action on many rows: each is checked and recorded by itself, and one that fails does not hold up the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Model, QuerySet
from django.utils.functional import Promise
from pydantic import BaseModel, ConfigDict

from apps.errors import BulkActUnknown, BulkEmpty, BulkTooMany, UserError

Row = TypeVar("Row", bound=Model)
MOST = 100
"""Rows of one action."""
REFUSED = "request.permission_denied"
"""The code of a refusal by role, as the API gives it."""


class ItemOutcome(BaseModel):
    """What became of one row: done, or the reason why not."""

    model_config = ConfigDict(frozen=True)

    id: str
    title: str
    code: str | None = None
    message: str | None = None

    @property
    def done(self) -> bool:
        return self.code is None


@dataclass(frozen=True)
class Act(Generic[Row]):
    """Something that can be done to many rows."""

    name: str
    verb: str | Promise
    """`Cancel`, on the button."""
    done: str | Promise
    """`cancelled`, in the sentence afterwards."""
    effect: str | Promise
    """What it means for each row, in one sentence."""
    why_not: Callable[[Row], str]
    """Why it cannot be done to a row as it is now; empty if it can. The act itself checks again."""
    act: Callable[[Row, Any], object]
    """Does it, for a user; raises `UserError` or `PermissionDenied`."""
    danger: bool = False


class BulkOutcomes(BaseModel):
    """One for each row: `code` and `message` are null if it was done."""

    outcomes: tuple[ItemOutcome, ...]

    @classmethod
    def of(cls, act: Act[Any], rows: Iterable[Any], user: Any) -> BulkOutcomes:
        """Does `act` to each of `rows`, for `user`."""
        return cls(outcomes=act_on_each(rows, lambda row: act.act(row, user)))


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


def act_named(acts: Mapping[str, Act[Row]], name: str) -> Act[Row]:
    """Raises `BulkActUnknown`."""
    if name not in acts:
        raise BulkActUnknown(name=name[:40], choices=", ".join(acts))
    return acts[name]


def chosen_rows(rows: QuerySet[Row], keys: Iterable[str], prefix: str = "", field: str = "pk") -> list[Row]:
    """Those of `rows` whose keys were ticked, in their order: the values of `field`. A key may stand after `prefix`;
    what is not a key, or of a row that is not among them, is left out.

    Raises `BulkEmpty` if nothing is left, and `BulkTooMany`.
    """
    meta: Any = rows.model._meta
    to_python = (meta.pk if field == "pk" else meta.get_field(field)).to_python
    wanted = {key for one in keys if (key := _key(one.removeprefix(prefix), to_python)) is not None}
    if len(wanted) > MOST:
        raise BulkTooMany(given=len(wanted), most=MOST)
    found = list(rows.filter(**{f"{field}__in": wanted}))
    if not found:
        raise BulkEmpty()
    return found


def _key(text: str, to_python: Callable[[str], Any]) -> int | UUID | str | None:
    """Numbers that no database can hold are not keys either."""
    try:
        key: int | UUID | str = to_python(text)
    except ValidationError:
        return None
    return None if isinstance(key, int) and not -(2**63) <= key < 2**63 else key
