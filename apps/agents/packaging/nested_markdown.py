"""Markdown of members as a section of a larger document, which it cannot change or imitate."""

from __future__ import annotations

import re

_DEEPEST = 6
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_HEADING = re.compile(r"( {0,3})(#{1,6})(?=[ \t]|$)")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*")
_PARAGRAPH = re.compile(r" {0,3}(?![>#]|`{3}|~{3}|[-+*](?:\s|$)|\d+[.)]\s)\S")
_TAG = re.compile(r"\\.|(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)|<(?=[a-zA-Z/!?])(?!https?:|mailto:)")
"""An escaped character, code, or the beginning of a tag, of which only the last is changed."""


def nested(text: str, level: int) -> str:
    """`text` for below a heading of `level`: its headings are lower than that one, its tags are text, and code that it
    opens is closed."""
    lines: list[str] = []
    fence = ""
    for line in text.strip().splitlines():
        found = _FENCE.fullmatch(line)
        if fence:
            fence = "" if found and _closes(fence, found) else fence
            lines.append(line)
        elif found and not (found[1][0] == "`" and "`" in found[2]):
            fence = found[1]
            lines.append(line)
        else:
            _add(lines, line, level)
    return "\n".join([*lines, fence] if fence else lines)


def _closes(fence: str, found: re.Match[str]) -> bool:
    return found[1].startswith(fence) and not found[2].strip()


def _add(lines: list[str], line: str, level: int) -> None:
    """Adds a line that is not code. An underlined heading becomes one with signs."""
    underline = _UNDERLINE.fullmatch(line)
    if underline and lines and _PARAGRAPH.match(lines[-1]):
        signs = "#" * min((1 if underline[1][0] == "=" else 2) + level, _DEEPEST)
        lines[-1] = f"{signs} {lines[-1].strip()}"
        return
    lowered = _HEADING.sub(lambda one: f"{one[1]}{'#' * min(len(one[2]) + level, _DEEPEST)}", line, count=1)
    lines.append(_TAG.sub(lambda one: "\\<" if one[0] == "<" else one[0], lowered))
