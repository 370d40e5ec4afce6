"""Links from pages into the documentation, and the tour."""

from __future__ import annotations

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.accounts.requests import MemberRequest, writes
from apps.guide.documents import coded, documents
from apps.guide.help import help_address
from apps.guide.tour import Hint, hint_for

register = template.Library()
register.simple_tag(help_address)


@register.simple_tag
def error_code(code: str) -> SafeString:
    """The code of an error, as a link to what the documentation says of it; plain where it says nothing."""
    if code not in coded():
        return format_html('<code class="soft">{}</code>', code)
    return format_html('<a class="soft" href="{}#{}"><code>{}</code></a>', documents()["errors"].address, code, code)


@register.simple_tag
def tour_hint(request: MemberRequest) -> Hint | None:
    """What the page shows of the member's tour. Viewers cannot take its steps, so they have none."""
    if not may_tour(request) or request.resolver_match is None:
        return None
    return hint_for(request.user, request.resolver_match.view_name)


@register.simple_tag
def may_tour(request: MemberRequest) -> bool:
    return bool(request.user.is_authenticated and request.team and writes(request, request.team))
