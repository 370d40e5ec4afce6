"""Shared code of the apps' API views."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, TypeVar, cast

from django.db.models import Model, QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema_field
from pydantic import BaseModel
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, NotFound, ValidationError
from rest_framework.parsers import BaseParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.settings import api_settings

Row = TypeVar("Row", bound=Model)
FILE = "application/octet-stream"
"""The media type of every file that the API sends: generators of clients know it."""
FILE_RESPONSE = {(200, FILE): OpenApiTypes.BINARY}

_JSON = cast("list[type[BaseParser]]", api_settings.DEFAULT_PARSER_CLASSES)
JSON_OR_FORM = [*_JSON, MultiPartParser]
"""For the few requests that can include a file."""


def validated_body(serializer_class: type[BaseSerializer[Any]], request: Request) -> dict[str, Any]:
    """The validated body of the request. Raises DRF's `ValidationError` with every invalid field."""
    serializer = serializer_class(data=request.data)
    serializer.is_valid(raise_exception=True)
    checked: dict[str, Any] = serializer.validated_data
    return checked


class SecretResponse(Response):
    """A successful answer with a secret that is shown only this once: no cache keeps it, and no repetition gets it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self["Cache-Control"] = "no-store"


class Replayed(Exception):
    """Ends a request with an answer that was given before (`apps.accounts.idempotency`)."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(status)
        self.status, self.body = status, body


class RowNotFound(NotFound):
    """A row that a field of the body names is missing, or not visible to the member; both look the same."""

    def __init__(self, field: str) -> None:
        super().__init__(f"`{field}` names nothing that there is, or nothing that you may see.")
        self.field = field


def row_of(rows: QuerySet[Row], field: str, pk: Any) -> Row:
    """The one of `rows` with this key, which the request gave as `field`. Raises `RowNotFound`."""
    row = rows.filter(pk=pk).first()
    if row is None:
        raise RowNotFound(field)
    return row


def rows_of(rows: QuerySet[Row], field: str, keys: Iterable[Any]) -> list[Row]:
    """Those of `rows` with these keys, which the request gave as `field`. Raises `RowNotFound` if one is missing."""
    wanted = set(keys)
    found = list(rows.filter(pk__in=wanted))
    if len(found) < len(wanted):
        raise RowNotFound(field)
    return found


def refuse_unknown(request: Request, known: Iterable[str]) -> None:
    """Raises DRF's `ValidationError` for a query parameter that is not in `known`. The message lists those."""
    if unknown := sorted(set(request.query_params) - set(known)):
        choices = f" Choose from: {', '.join(sorted(known))}." if known else " This list has no parameters."
        sentence = f"This parameter does not exist.{choices}"
        raise ValidationError({name: [ErrorDetail(sentence, "unknown")] for name in unknown})


class JsonObject(serializers.JSONField):
    """Requires only that the input is an object. The services validate the rest."""

    default_error_messages: ClassVar[dict[str, Any]] = {"not_an_object": "This is not a JSON object."}

    def to_internal_value(self, data: Any) -> Any:
        value = super().to_internal_value(data)
        if not isinstance(value, dict):
            self.fail("not_an_object")
        return value


def json_of(value: type[BaseModel], **options: Any) -> serializers.JSONField:
    """A field of plain JSON for a pydantic value, whose schema the API's document shows."""
    # drf-spectacular's extension for pydantic accepts the class, although its annotation does not say so.
    describe: Any = extend_schema_field(value)  # type: ignore[arg-type]
    field: type[serializers.JSONField] = describe(type(f"{value.__name__}Json", (JsonObject,), {}))
    return field(**options)


def example(name: str, value: dict[str, Any]) -> OpenApiExample:
    """An example of a JSON body for the API's document."""
    return OpenApiExample(name, value, request_only=True, media_type="application/json")
