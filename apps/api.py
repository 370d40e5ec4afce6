"""What every app's part of the API reads and answers in the same way."""

from __future__ import annotations

from typing import Any, cast

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample
from rest_framework.parsers import BaseParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.serializers import BaseSerializer
from rest_framework.settings import api_settings

FILE_RESPONSE = {(200, "application/octet-stream"): OpenApiTypes.BINARY}

_JSON = cast("list[type[BaseParser]]", api_settings.DEFAULT_PARSER_CLASSES)
JSON_OR_FORM = [*_JSON, MultiPartParser]
"""For the few requests that may bring a file with them."""


def answers(serializer_class: type[BaseSerializer[Any]], request: Request) -> dict[str, Any]:
    """The request's body, checked. Raises DRF's `ValidationError` with every field that is wrong."""
    serializer = serializer_class(data=request.data)
    serializer.is_valid(raise_exception=True)
    checked: dict[str, Any] = serializer.validated_data
    return checked


def example(name: str, value: dict[str, Any]) -> OpenApiExample:
    """An example of a JSON body for the API's document."""
    return OpenApiExample(name, value, request_only=True, media_type="application/json")
