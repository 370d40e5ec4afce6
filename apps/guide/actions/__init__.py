"""What a member can do from the palette, beside what they can open there."""

from __future__ import annotations

from collections.abc import Iterable

from django.utils.translation import gettext

from apps.accounts.requests import MemberRequest
from apps.guide.actions.action import Action
from apps.guide.actions.anywhere import anywhere
from apps.guide.actions.of_page import of_page
from apps.guide.finding import FoundKind, has_all, pages_with, rows_with, wanted_words

__all__ = ["Action", "found_or_done"]


def found_or_done(request: MemberRequest, words: str, path: str) -> list[FoundKind]:
    """What `words` find, and the actions that they name. Without words: what can be done with what the page at `path`
    shows, all pages, and what can be done anywhere.

    With words pages come first, so that Enter after the name of a page never does anything else.
    """
    user, wanted = request.user, wanted_words(words)
    here = FoundKind(gettext("On this page"), _named(of_page(request, path), wanted))
    everywhere = FoundKind(gettext("Actions"), _named(anywhere(request), wanted))
    pages = pages_with(user, wanted)
    kinds = (pages, here, everywhere, *rows_with(user, wanted)) if wanted else (here, pages, everywhere)
    return [kind for kind in kinds if kind.findings]


def _named(actions: Iterable[Action], wanted: list[str]) -> tuple[Action, ...]:
    return tuple(one for one in actions if has_all(f"{one.title} {one.detail}", wanted))
