"""An example's picture as a response."""

from __future__ import annotations

from django.http import HttpResponse

from apps.optimization import services


def picture_response(found: services.Picture) -> HttpResponse:
    """The picture. It changes only if its candidate is judged again."""
    headers = {"Cache-Control": "private, max-age=3600"}
    return HttpResponse(found.content, content_type=found.content_type, headers=headers)
