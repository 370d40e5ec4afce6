"""Text from members, their files, children and libraries, in a form that every database keeps."""

from __future__ import annotations

import re
from typing import Any, overload

_UNKEEPABLE = re.compile("[\x00\ud800-\udfff]")
"""NUL, which PostgreSQL cannot keep, and halves of characters, which UTF-8 cannot write."""


@overload
def keepable(plain: str) -> str: ...
@overload
def keepable(plain: Any) -> Any: ...


def keepable(plain: Any) -> Any:
    """`plain`, as JSON has it, with a replacement character for each character that cannot be kept."""
    if isinstance(plain, str):
        return _UNKEEPABLE.sub("\ufffd", plain)
    if isinstance(plain, dict):
        return {keepable(name): keepable(value) for name, value in plain.items()}
    if isinstance(plain, list):
        return [keepable(value) for value in plain]
    return plain
