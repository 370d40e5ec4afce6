"""The techniques of installed packages as a chapter of the documentation, written from their specs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from apps.agents.contracts.formats import FORMATS
from apps.agents.contracts.phrasing import listed
from apps.agents.contracts.plain_markdown import plain
from apps.agents.techniques.catalogue import AddedTechnique, ParameterSpec, added_techniques

TECHNIQUES = "techniques"
"""The document that the chapter is a part of."""
TITLE = "Techniques of installed packages"
_HEAD = "| parameter | allowed | default | plans try | what it is |"
_ADDRESS = re.compile(r"https?://[^\s<>]*[^\s<>.,;:)]")


def added_chapter() -> str:
    """Markdown; empty if no installed package adds a technique."""
    added = added_techniques()
    return "\n\n".join((f"\n\n## {TITLE}", *(part for one in added for part in _section(one)))) if added else ""


def _section(one: AddedTechnique) -> Iterator[str]:
    spec = one.spec
    labels = listed([FORMATS[name].label if name in FORMATS else name for name in spec.formats])  # type: ignore[index]
    yield f"### {plain(spec.label)} (`{spec.name}`)"
    yield f"From the package `{one.package}` {plain(one.version)}, for {plain(labels)}."
    yield f"{plain(spec.summary)} {_linked(spec.reference)}"
    if spec.parameters:
        yield "\n".join((_HEAD, "|---|---|---|---|---|", *map(_row, spec.parameters)))


def _row(parameter: ParameterSpec) -> str:
    """Its name is not written as code: a row that begins with a code becomes a place to link to, by that name."""
    searched = ", ".join(map(_value, parameter.search)) or "only the default"
    values = (_allowed(parameter), _value(parameter.default), searched)
    return f"| {plain(parameter.name)} | {' | '.join(values)} | {plain(parameter.help)} |"


def _allowed(parameter: ParameterSpec) -> str:
    match parameter.kind:
        case "choice":
            return ", ".join(_value(value) for value in parameter.choices)
        case "boolean":
            return "yes or no"
        case "names":
            return "names of nodes or operators"
    kind = "a whole number" if parameter.kind == "integer" else "a number"
    low, high = parameter.minimum, parameter.maximum
    bounds = {(True, True): f" from {low} to {high}", (True, False): f" from {low}", (False, True): f" up to {high}"}
    return kind + bounds.get((low is not None, high is not None), "")


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(_value, value)) or "none"
    return plain(str(value))


def _linked(reference: str) -> str:
    """`reference` with its addresses as links."""
    return " ".join(map(_linked_word, reference.split()))


def _linked_word(word: str) -> str:
    found = _ADDRESS.search(word)
    return f"{plain(word[: found.start()])}<{found[0]}>{plain(word[found.end() :])}" if found else plain(word)
