"""JSON as the API reads it: of a bounded size, and only what every database and every answer can write again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

from lathe.errors import BodyTooLarge


class Json(JSONParser):
    """DRF's parser; it would read a body of any size and depth into memory.

    Raises `BodyTooLarge`, and `ParseError` for what is no JSON, is nested too deeply, or holds text that is no Unicode
    (a lone surrogate) or that PostgreSQL cannot keep (a NUL).
    """

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        # A body that announces no length is not read at all.
        request = (parser_context or {}).get("request")
        length = request.META.get("CONTENT_LENGTH") if request is not None else None
        if length and str(length).isdecimal() and int(length) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            raise BodyTooLarge
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
