"""Lists as CSV files, for spreadsheets and notebooks. Every list of the portal offers one, with its filters."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.functional import Promise

from apps.errors import ListTooLong


@dataclass(frozen=True)
class Choice:
    """A column of a list's page that members can choose."""

    name: str
    label: str | Promise
    usual: bool = True
    """Whether those see it who have chosen nothing."""


_offered: dict[str, tuple[Choice, ...]] = {}


def offer(listing: str, *choices: Choice) -> None:
    """Lets members choose among these columns of a list's page, beside its first one."""
    _offered[listing] = choices


def choices_of(listing: str) -> tuple[Choice, ...]:
    """The columns of a list's page that can be chosen, in their order."""
    return _offered[listing]


LONGEST = 100_000
"""Rows of a file at most, so that a request's time and memory are bounded."""
AT_ONCE = 1_000
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Spreadsheets compute a text that begins like this (CWE-1236)."""
Row = TypeVar("Row")
StoredRow = TypeVar("StoredRow", bound=Model)
Columns = Mapping[str, Callable[[Row], Any]]


def wants_csv(request: HttpRequest) -> bool:
    """Whether the address asks for the list as a file, as the link below each list does."""
    return request.GET.get("export") == "csv"


def csv_of_rows(name: str, columns: Columns[StoredRow], rows: QuerySet[StoredRow]) -> HttpResponse:
    """All of `rows`, in their order. Raises `ListTooLong` for more than `LONGEST`."""
    if (count := rows.count()) > LONGEST:
        raise ListTooLong(rows=f"{count:,}", most=f"{LONGEST:,}")
    return csv_of(name, columns, rows.iterator(chunk_size=AT_ONCE))


def csv_of(name: str, columns: Columns[Row], rows: Iterable[Row]) -> HttpResponse:
    """A file with these columns, to be saved under `name` and the day."""
    return csv_file(name, written(columns, ([value(row) for value in columns.values()] for row in rows)))


def csv_file(name: str, content: str) -> HttpResponse:
    """The text of a CSV file as a download."""
    # Excel takes a file without this mark for one of the machine's own encoding.
    response = HttpResponse("\ufeff" + content, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}-{timezone.now():%Y-%m-%d}.csv"'
    return response


def written(head: Iterable[Any], rows: Iterable[Iterable[Any]]) -> str:
    """The text of a CSV file: times in ISO 8601 and UTC, numbers in full, lists with blanks between, no formulas."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(map(_cell, head))
    writer.writerows(map(_cell, row) for row in rows)
    return file.getvalue()


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(timezone.get_default_timezone()).isoformat(timespec="seconds")
    if isinstance(value, list | tuple):
        return _cell(" ".join(map(str, value)))
    if isinstance(value, bool | int | float):
        return value
    text = str(value)
    return f"'{text}" if text.startswith(FORMULA) else text
