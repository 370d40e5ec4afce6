"""Sentences that are kept in English, as evidence or because their maker knows no languages. A page recognizes the form
that made one, and shows it in the reader's language.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache

from django.utils.translation import gettext

Say = Callable[[str, str], str]
"""What to say for a placeholder's name and its value."""


def _as_it_is(_name: str, value: str) -> str:
    return value


def translation_of(sentence: str, forms: Iterable[str], say: Say = _as_it_is) -> str | None:
    """The translation of the form that made `sentence`, filled with its values; `None` if none of them did.

    Forms have placeholders such as `{reason}`. If several fit, the one with most words of its own counts.
    """
    found = [(form, match) for form in forms if (match := _pattern(form).fullmatch(sentence))]
    if not found:
        return None
    form, match = max(found, key=lambda one: len(one[0]) - sum(len(name) + 2 for name in one[1].groupdict()))
    return gettext(form).format(**{name: say(name, value) for name, value in match.groupdict().items()})


def has_form(sentence: str, forms: Iterable[str]) -> bool:
    return any(_pattern(form).fullmatch(sentence) for form in forms)


@cache
def _pattern(form: str) -> re.Pattern[str]:
    """What matches the sentences that the form makes."""
    parts = re.split(r"({\w+})", form)
    return re.compile("".join(f"(?P<{one[1:-1]}>.+)" if one[:1] == "{" else re.escape(one) for one in parts))
