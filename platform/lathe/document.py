"""Serves the API's OpenAPI document, which each process generates once, and the page that shows it."""

from __future__ import annotations

import threading
from functools import cache
from hashlib import sha256
from typing import Any, NamedTuple

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.cache import get_conditional_response
from django.views.decorators.http import require_GET
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView
from rest_framework.request import Request

_making = threading.Lock()
"""drf-spectacular is not thread-safe: two threads cannot generate the document at the same time."""


class Written(NamedTuple):
    """The document in one format."""

    content: bytes
    etag: str


@cache
def _document() -> Any:
    return SchemaGenerator().get_schema(request=None, public=True)


@cache
def _rendered(renderer: Any) -> Written:
    content: Any = renderer().render(_document(), renderer.media_type, {})
    return Written(content, f'"{sha256(content).hexdigest()[:32]}"')


def written(renderer: Any) -> Written:
    """The document as rendered by the class `renderer`. It is the same for everyone; the first request
    takes a moment.
    """
    with _making:
        return _rendered(renderer)


class DocumentView(SpectacularAPIView):
    """drf-spectacular's view, with the same choice of formats."""

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        renderer = request.accepted_renderer
        document = written(type(renderer))
        response = HttpResponse(document.content, content_type=f"{renderer.media_type}; charset=utf-8")
        response["ETag"] = document.etag
        response["Cache-Control"] = "public, max-age=300"
        response["Content-Disposition"] = f'inline; filename="Lathe.{renderer.format}"'
        answer: HttpResponseBase | None = get_conditional_response(
            request._request, etag=document.etag, response=response
        )
        return answer or response


@require_GET
def reference(request: HttpRequest) -> HttpResponse:
    """The document drawn by Swagger UI in the portal's frame, with files of this server only."""
    return render(request, "guide/reference.html")
