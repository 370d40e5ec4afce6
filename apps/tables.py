"""Lists as CSV files, for spreadsheets and notebooks. Every list of the portal offers one, with its filters."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.utils import timezone

from apps.errors import ListTooLong
from apps.keyed import rows_of_keys
from apps.streaming import body_of

LONGEST = 100_000
"""Rows of a file at most, so that a request's time and memory are bounded."""
AT_ONCE = 1_000
CSV = "text/csv; charset=utf-8"
MARK = "\ufeff"
"""Excel takes a file without it for one of the machine's own encoding."""
FORMULA = (*"=+-@\t\r\n", *"＝＋－＠")
"""Spreadsheets compute a text that begins like this (CWE-1236), some of them with signs of full width as well."""
Row = TypeVar("Row")
StoredRow = TypeVar("StoredRow", bound=Model)
Columns = Mapping[str, Callable[[Row], Any]]


def wants_csv(request: HttpRequest) -> bool:
    """Whether the address asks for the list as a file, as the link below each list does."""
    return request.GET.get("export") == "csv"


def csv_of_rows(
    request: HttpRequest, name: str, columns: Columns[StoredRow], rows: QuerySet[StoredRow]
) -> StreamingHttpResponse:
    """All of `rows`, in their order, read in portions while they are sent. Raises `ListTooLong`."""
    if (count := rows.count()) > LONGEST:
        raise ListTooLong(rows=f"{count:,}", most=f"{LONGEST:,}")
    pieces = _pieces(columns, rows)
    body = body_of(request, lambda: next(pieces, b""))
    return StreamingHttpResponse(body, content_type=CSV, headers=_saved_as(name))


def _pieces(columns: Columns[StoredRow], rows: QuerySet[StoredRow]) -> Iterator[bytes]:
    """The head, and then so many rows at once. The keys come first, so that no row is missed or sent twice."""
    keys = list(rows.values_list("pk", flat=True))
    yield f"{MARK}{written(columns, ())}".encode()
    for begin in range(0, len(keys), AT_ONCE):
        some = rows_of_keys(rows, keys[begin : begin + AT_ONCE])
        if some:  # an empty piece would be the end
            yield written(None, (_values(columns, row) for row in some)).encode()


def csv_of(name: str, columns: Columns[Row], rows: Iterable[Row]) -> HttpResponse:
    """A file with these columns, to be saved under `name` and the day."""
    return csv_file(name, written(columns, (_values(columns, row) for row in rows)))


def _values(columns: Columns[Row], row: Row) -> list[Any]:
    return [value(row) for value in columns.values()]


def csv_file(name: str, content: str) -> HttpResponse:
    """The text of a CSV file as a download."""
    return HttpResponse(MARK + content, content_type=CSV, headers=_saved_as(name))


def _saved_as(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}-{timezone.now():%Y-%m-%d}.csv"'}


def written(head: Iterable[Any] | None, rows: Iterable[Iterable[Any]]) -> str:
    """The text of a CSV file, or of a part of it without `head`: times in ISO 8601 and UTC, numbers in full, lists with
    blanks between, no formulas.
    """
    file = io.StringIO()
    writer = csv.writer(file)
    if head is not None:
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
