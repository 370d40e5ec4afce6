"""The lists of rows that members see: the columns of each, and by which of them it can be put in order.

Pages and the API share the names: `?ordering=-created_at` means the same on both. A page passes over names that it does
not know, as with every other value of an address; the API refuses them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

from django.core.exceptions import FieldDoesNotExist
from django.db.models import F, Model, QuerySet
from django.db.models.expressions import BaseExpression, OrderBy
from django.utils.functional import Promise

ORDERING = "ordering"
"""The parameter of addresses. Further names, after commas, order what is equal by the first."""
Rows = TypeVar("Rows", bound=QuerySet[Any])
By = str | BaseExpression
"""A field, with `-` for the other direction, or what is computed of a row."""


class Kind(Enum):
    TEXT = "text"
    NUMBER = "number"
    TIME = "time"


@dataclass(frozen=True)
class Column:
    """A column of a list's page."""

    name: str
    label: str | Promise
    usual: bool = True
    """Whether those see it who have chosen nothing."""
    ordering: str = ""
    """The name by which the list can be put in this order; empty if it cannot."""
    by: tuple[By, ...] = ()
    """What that means; the field `ordering` itself if empty."""
    kind: Kind = Kind.TEXT
    """Texts begin with the smallest, numbers and times with the largest."""

    @property
    def fields(self) -> tuple[By, ...]:
        return self.by or (self.ordering,)


@dataclass(frozen=True)
class Listing:
    """A list of rows with a page of its own."""

    name: str
    page: str
    """The name of its page's route."""
    part: str
    """The id of the element that shows the rows."""
    columns: tuple[Column, ...]
    """The first one is always shown."""
    usual: str
    """Its order if an address names none."""
    cards: bool = False
    """Whether a row is a card, which shows all of it and has no heads."""

    @property
    def choices(self) -> tuple[Column, ...]:
        """The columns that members can choose, in their order."""
        return () if self.cards else self.columns[1:]

    @property
    def orderings(self) -> dict[str, Column]:
        return {one.ordering: one for one in self.columns if one.ordering}


@dataclass(frozen=True)
class Head:
    """The head of a column."""

    column: Column
    state: str
    """`aria-sort`; empty if the list cannot be put in order by the column."""
    turned: str
    """The ordering that a press asks for."""


_offered: dict[str, Listing] = {}


def offer(listing: Listing) -> Listing:
    """Lets members choose the columns of this list, and save its filters."""
    _offered[listing.name] = listing
    return listing


def offered() -> Mapping[str, Listing]:
    """All lists, by their names."""
    return dict(sorted(_offered.items()))


def asked_of(listing: Listing, text: str) -> list[tuple[Column, bool]]:
    """The columns that `text` of an address names, each with whether it falls. Other names are passed over."""
    names = [name for name in text.split(",") if name.removeprefix("-") in listing.orderings]
    return [(listing.orderings[name.removeprefix("-")], name.startswith("-")) for name in names]


def in_order(rows: Rows, listing: Listing, text: str) -> Rows:
    """`rows` in the order of `text`, or else in the list's usual one. What is not known comes last, and rows that are
    equal follow their keys, so that each of them is on one page.
    """
    return by_columns(rows, asked_of(listing, text) or asked_of(listing, listing.usual))


def by_columns(rows: Rows, asked: Iterable[tuple[Column, bool]]) -> Rows:
    """`rows` in the order of these columns, each with whether it falls. See `in_order`."""
    terms = [(by, falls) for column, falls in asked for by in column.fields]
    last = () if any(_decides(rows.model, by) for by, _falls in terms) else ("pk",)
    return rows.order_by(*(_term(rows.model, by, falls) for by, falls in terms), *last)


def with_keys_last(rows: Rows) -> Rows:
    """`rows` in their own order; those that are equal follow their keys."""
    order = rows.query.order_by or tuple(rows.model._meta.ordering or ())
    return rows if any(_decides(rows.model, one) for one in order) else rows.order_by(*order, "pk")


def heads(listing: Listing, names: Iterable[str], text: str) -> list[Head]:
    """The heads of the first column and of those that `names` has, in a list whose address says `text`."""
    asked = asked_of(listing, text) or asked_of(listing, listing.usual)
    first, falls = asked[0] if asked else (None, False)
    shown = set(names)
    return [
        _head(one, None if one is not first else falls)
        for one in listing.columns
        if one is listing.columns[0] or one.name in shown
    ]


def _head(column: Column, falls: bool | None) -> Head:
    """`falls` says whether the list is ordered by the column downwards; `None` if it is not ordered by it."""
    if not column.ordering:
        return Head(column, "", "")
    state = "none" if falls is None else "descending" if falls else "ascending"
    downwards = column.kind is not Kind.TEXT if falls is None else not falls
    return Head(column, state, f"-{column.ordering}" if downwards else column.ordering)


def _term(model: type[Model], by: By, falls: bool) -> OrderBy:
    if not isinstance(by, str):
        return by.desc(nulls_last=True) if falls else by.asc(nulls_last=True)
    path, falls = by.removeprefix("-"), falls != by.startswith("-")
    # Of a column that is never empty, an index has the order only without a word about what is not known.
    last = True if _may_be_unknown(model, path) else None
    return F(path).desc(nulls_last=last) if falls else F(path).asc(nulls_last=last)


def _may_be_unknown(model: type[Model], path: str) -> bool:
    at: type[Model] | None = model
    for name in path.split("__"):
        try:
            field = at._meta.get_field(name) if at else None
        except FieldDoesNotExist:
            field = None
        if field is None or getattr(field, "null", True):
            return True
        at = field.related_model if isinstance(field.related_model, type) else None
    return False


def _decides(model: type[Model], by: object) -> bool:
    """Whether no two rows have the same value."""
    name = by.removeprefix("-") if isinstance(by, str) else ""
    if name == "pk":
        return True
    try:
        return bool(getattr(model._meta.get_field(name), "unique", False))
    except FieldDoesNotExist:
        return False
