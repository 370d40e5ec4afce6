"""Text from members' files, in a form that every database can store."""

from __future__ import annotations

import re
from typing import Any

_UNKEEPABLE = re.compile("[\x00\ud800-\udfff]")
"""NUL, which PostgreSQL cannot store, and lone surrogates, which UTF-8 cannot encode."""


def storable(plain: Any) -> Any:
    """The JSON value `plain` with a replacement character for each character that cannot be stored."""
    if isinstance(plain, str):
        return _UNKEEPABLE.sub("\ufffd", plain)
    if isinstance(plain, dict):
        return {storable(name): storable(value) for name, value in plain.items()}
    if isinstance(plain, list):
        return [storable(value) for value in plain]
    return plain
