"""The languages that pages exist in, each by its own name."""

from __future__ import annotations

from django import template

from apps.languages import languages, within_a_sentence

register = template.Library()


@register.simple_tag
def known_languages() -> list[tuple[str, str]]:
    """Each language's code and own name."""
    return list(languages().items())


@register.filter
def own_name(code: str) -> str:
    """What the language with this code calls itself."""
    return languages().get(code, code)


register.filter(within_a_sentence)
