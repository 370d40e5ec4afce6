"""The bell in the frame of every page."""

from __future__ import annotations

from typing import Any

from django import template
from django.utils.safestring import SafeString, mark_safe

from apps.notifications import bell

register = template.Library()


@register.simple_tag
def bell_of(user: Any) -> SafeString:
    """The bell of a logged-in user."""
    return mark_safe(bell.fragment(user))  # noqa: S308 (rendered from a template)
