"""The API's document as it is served: made once in a process, and then only handed out."""

from __future__ import annotations

import threading
from functools import cache
from hashlib import sha256
from typing import Any, NamedTuple

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView
from rest_framework.request import Request

_making = threading.Lock()
"""drf-spectacular is not made for threads: two that make the document at once break each other."""


class Written(NamedTuple):
    """The document in one of its notations."""

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
    """The document as `renderer`, a class, writes it: the same for everybody. The first who asks waits for a moment."""
    with _making:
        return _rendered(renderer)


class DocumentView(SpectacularAPIView):
    """drf-spectacular's view, whose choice of notations it keeps."""

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
