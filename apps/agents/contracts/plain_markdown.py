"""Texts of others inside Markdown."""

from __future__ import annotations

import re

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&!])")


def plain(text: str) -> str:
    """`text` for one line of Markdown, without any markup of its own."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
