"""The API's JSON parser: it accepts only what every database and every response can represent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser


class Json(JSONParser):
    """DRF's parser. Also raises `ParseError` for values that are nested too deeply, and for text that is not Unicode (a
    lone surrogate) or that PostgreSQL cannot store (a NUL).
    """

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        try:
            parsed = super().parse(stream, media_type, parser_context)
            unwritable = any(_unwritable(text) for text in _texts(parsed))
        except RecursionError as error:
            raise ParseError("JSON parse error - the value is nested too deeply.") from error
        if unwritable:
            raise ParseError("JSON parse error - a string contains a NUL or a lone surrogate.")
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
