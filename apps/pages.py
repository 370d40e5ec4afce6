"""Pagination of long lists, for the portal and the API. Only the rows of the requested page are read completely."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet

from apps.keyed import rows_of_keys

if TYPE_CHECKING:
    Pages = Paginator[Any]
else:
    Pages = Paginator


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
