"""JSON as the API reads it: only what every database and every answer can write again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser


class Json(JSONParser):
    """DRF's parser. Raises `ParseError` as well for what is nested too deeply, and for text that is no Unicode (half of
    a surrogate pair) or that PostgreSQL cannot keep (a NUL).
    """

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        try:
            parsed = super().parse(stream, media_type, parser_context)
            unwritable = any(_unwritable(text) for text in _texts(parsed))
        except RecursionError as error:
            raise ParseError("JSON parse error - it is nested too deeply.") from error
        if unwritable:
            raise ParseError("JSON parse error - a text holds a NUL or half of a surrogate pair.")
        return parsed


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)


def _unwritable(text: str) -> bool:
    return any(letter == "\x00" or "\ud800" <= letter <= "\udfff" for letter in text)
