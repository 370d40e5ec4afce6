"""Pagination of long lists, for the portal and the API. Only the rows of the requested page are read completely."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from django.core.paginator import Page, Paginator
from django.db.models import Model, QuerySet
from django.db.models.sql.where import WhereNode

if TYPE_CHECKING:
    Pages = Paginator[Any]
else:
    Pages = Paginator

Row = TypeVar("Row", bound=Model)


class KeyedPaginator(Pages):
    """Finds a page's keys first, and then those rows in the same order.

    A row before the page only costs a step through an index, not reading its columns and joins, so the last page of a
    hundred thousand rows takes about as long as the first. Sequences other than querysets are sliced as usual.
    """

    def page(self, number: int | str) -> Page[Any]:
        rows = self.object_list
        if not isinstance(rows, QuerySet):
            return super().page(number)
        asked = self.validate_number(number)
        bottom = (asked - 1) * self.per_page
        top = bottom + self.per_page
        if top + self.orphans >= self.count:
            top = self.count
        keys = list(rows.values_list("pk", flat=True)[bottom:top])
        return Page(rows_of_keys(rows, keys), asked, self)


def rows_of_keys(rows: QuerySet[Row], keys: Sequence[Any]) -> list[Row]:
    """The rows with these keys, in the order of the keys, with the columns and joins of `rows`."""
    found = _of_any_condition(rows).in_bulk(keys)
    return [found[key] for key in keys if key in found]


def _of_any_condition(rows: QuerySet[Row]) -> QuerySet[Row]:
    """The same columns and joins, looked up by keys only.

    The keys already satisfy the conditions. Repeating a condition would make SQLite, which has no row counts, use
    another index than that of the keys and read all rows of a team.
    """
    by_keys = rows.order_by()
    by_keys.query.where = WhereNode()
    return by_keys
