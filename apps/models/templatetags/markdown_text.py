"""The filter that renders Markdown."""

from __future__ import annotations

from django import template
from django.utils.safestring import SafeString

from apps.markdown import safe_html

register = template.Library()


@register.filter
def markdown(text: str) -> SafeString:
    """The Markdown `text` as HTML that is safe, whoever wrote it."""
    return safe_html(text)
