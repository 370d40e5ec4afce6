"""Languages: what members can choose, and whose language a page or a message is in."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from django.conf import settings
from django.utils import translation

CAPITALIZING = ("de",)
"""Languages that write nouns with a capital letter."""


def languages() -> dict[str, str]:
    """The languages that pages exist in: each code, with the name that the language gives itself."""
    return dict(settings.LANGUAGES)


def language_of(user: Any) -> str:
    """The language of a member; the installation's if none is known yet, and for a channel that belongs to nobody."""
    code = getattr(user, "language", "")
    return code if code in languages() else str(settings.LANGUAGE_CODE)


def in_english() -> AbstractContextManager[None]:
    """For what is kept as evidence, such as the reasons in the audit trail: everybody reads it in the same words."""
    return translation.override(settings.LANGUAGE_CODE)


def within_a_sentence(word: object) -> str:
    """A label as it stands within a sentence: in lower case, but for languages that capitalize their nouns."""
    return str(word) if (translation.get_language() or "") in CAPITALIZING else str(word).lower()
