"""What is compared, as the address of a comparison names it: `session:ID`, `candidate:SESSION:KEY`, `version:ID`."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple
from urllib.parse import urlencode
from uuid import UUID

from apps.optimization.errors.side_by_side import (
    ComparedItemUnknown,
    ComparedKindsDiffer,
    TooFewCompared,
    TooManyCompared,
)

FEWEST, MOST = 2, 6
PARAMETER = "item"


class Kind(StrEnum):
    SESSION = "session"
    """What it delivers; the version it judged if it is a comparison."""
    CANDIDATE = "candidate"
    VERSION = "version"


class Item(NamedTuple):
    """One thing to compare. Of `session` and `version` those are set that its kind needs."""

    kind: Kind
    session: UUID | None = None
    candidate: str = ""
    version: int = 0

    def __str__(self) -> str:
        parts = {
            Kind.SESSION: (self.session,),
            Kind.CANDIDATE: (self.session, self.candidate),
            Kind.VERSION: (self.version,),
        }
        return ":".join(map(str, (self.kind.value, *parts[self.kind])))


def address(items: Sequence[Item], **more: str) -> str:
    """The query of a comparison: `item=version:3&item=version:4`."""
    return urlencode([(PARAMETER, str(item)) for item in items] + list(more.items()), safe=":")


def selected(given: Sequence[str]) -> tuple[Item, ...]:
    """The items in the order given, each once.

    Raises `ComparedItemUnknown` for one that names nothing, `TooFewCompared`, `TooManyCompared`, and
    `ComparedKindsDiffer` for versions among sessions and candidates: a version is a file, and which of its measurements
    counts depends on the others.
    """
    items = tuple(dict.fromkeys(map(_read, given)))
    if len(items) < FEWEST:
        raise TooFewCompared(field=PARAMETER, count=len(items), fewest=FEWEST, most=MOST)
    if len(items) > MOST:
        raise TooManyCompared(field=PARAMETER, count=len(items), most=MOST)
    if len({item.kind is Kind.VERSION for item in items}) > 1:
        raise ComparedKindsDiffer(field=PARAMETER)
    return items


def _read(text: str) -> Item:
    kind, _, rest = text.partition(":")
    key, _, candidate = rest.partition(":")
    try:
        if kind == Kind.VERSION and not candidate and key.isascii() and key.isdecimal() and len(key) < 19:
            return Item(Kind.VERSION, version=int(key))
        if kind == Kind.SESSION and not candidate:
            return Item(Kind.SESSION, session=UUID(key))
        if kind == Kind.CANDIDATE and 0 < len(candidate) <= 20:
            return Item(Kind.CANDIDATE, session=UUID(key), candidate=candidate)
    except ValueError:
        pass
    raise ComparedItemUnknown(field=PARAMETER, item=text[:100])
