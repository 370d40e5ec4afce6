"""Errors whose words are filled in by callers."""

from __future__ import annotations

from typing import Any, ClassVar

from django.utils.translation import gettext

from apps.errors import UserError


class Worded(UserError):
    """Callers fill in words in English; the sentence has them in the reader's language."""

    WORDS: ClassVar[tuple[str, ...]]

    def __init__(self, *, field: str | None = None, **context: Any) -> None:
        words = {name: gettext(str(context[name])) for name in self.WORDS}
        super().__init__(field=field, **(context | words))
