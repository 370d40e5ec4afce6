"""Markdown as HTML that is safe on any page, whoever wrote it."""

from __future__ import annotations

import nh3
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.token import Token

_PARSER = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
"""An image becomes a link, because pages ask no other host for anything."""
_TAGS = {
    *("a", "blockquote", "br", "code", "del", "em", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "strong"),
    *("table", "tbody", "td", "th", "thead", "tr", "ul"),
}
_SCHEMES = {"http", "https", "mailto"}
_PAGE_HEADINGS, _LOWEST_HEADING = 2, 6


def safe_html(text: str) -> SafeString:
    """The HTML of `text`. Its headings begin at the third level, under the page's own."""
    tokens = _PARSER.parse(text)
    for token in tokens:
        _lower(token)
    html = _PARSER.renderer.render(tokens, _PARSER.options, {})
    cleaned = nh3.clean(
        html, tags=_TAGS, attributes={"a": {"href"}}, url_schemes=_SCHEMES, link_rel="noopener noreferrer nofollow"
    )
    return mark_safe(cleaned)  # noqa: S308  just sanitized


def _lower(token: Token) -> None:
    if token.type in ("heading_open", "heading_close"):
        token.tag = f"h{min(int(token.tag[1]) + _PAGE_HEADINGS, _LOWEST_HEADING)}"
