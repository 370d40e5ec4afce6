"""Rows that are looked up by keys that are known already, in the order of the keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from django.db.models.sql.where import WhereNode

Row = TypeVar("Row", bound=Model)


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
