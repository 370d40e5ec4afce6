"""A model card as a download."""

from __future__ import annotations

from django.http import HttpResponse

from apps.agents.packaging.card import FILENAME


def card_response(text: str) -> HttpResponse:
    """The card as a Markdown file. Browsers save it and never show it as a page."""
    headers = {"Content-Disposition": f'attachment; filename="{FILENAME}"'}
    return HttpResponse(text, content_type="text/markdown; charset=utf-8", headers=headers)
