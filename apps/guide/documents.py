"""The documents of `docs/`, read once a process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext as _

from apps.guide.added_techniques import TECHNIQUES, added_chapter
from apps.guide.markdown import Section, html, parsed, sections

FIRST = ("user-guide", "how-lathe-measures", "history", "notifications", "gate", "api")
"""What a member reads, in this order."""
OPERATORS = ("deployment", "single-sign-on", "scale", "faults", "security", "monitoring")
ATTACHED = (".png", ".svg", ".json")
"""Files beside the documents that they link to."""


@dataclass(frozen=True)
class Document:
    name: str
    title: str
    summary: str
    """Its first paragraph."""
    body: str
    """Safe HTML."""
    sections: tuple[Section, ...]

    @property
    def address(self) -> str:
        return reverse("guide:document", args=[self.name])

    @property
    def chapters(self) -> tuple[Section, ...]:
        return tuple(section for section in self.sections if section.level == 2)


def folder() -> Path:
    return Path(settings.DOCS_DIR)


@cache
def documents() -> dict[str, Document]:
    """All documents by name."""
    return {path.stem: _read(path) for path in sorted(folder().glob("*.md"))}


@cache
def coded() -> frozenset[str]:
    """The codes of errors that the documentation explains."""
    return frozenset(section.anchor for section in documents()["errors"].sections)


@cache
def attachments() -> dict[str, Path]:
    """The files that documents link to, by their path below `docs/`."""
    found = (path for path in folder().rglob("*") if path.suffix in ATTACHED)
    return {path.relative_to(folder()).as_posix(): path for path in found}


def topics() -> Iterator[tuple[str, list[Document]]]:
    """The documents by topic: for members, for operators, and what remains in alphabetical order."""
    known = documents()
    others = [name for name in known if name not in FIRST + OPERATORS]
    for topic, names in ((_("Working with Lathe"), FIRST), (_("Running Lathe"), OPERATORS), (_("Reference"), others)):
        yield topic, [known[name] for name in names if name in known]


def _read(path: Path) -> Document:
    source = path.read_text(encoding="utf-8")
    if path.stem == TECHNIQUES:
        source += added_chapter()
    tokens = parsed(source, _address)
    found = tuple(sections(tokens))
    return Document(path.stem, found[0].title, found[0].text, html(tokens), found)


def _address(target: str) -> str | None:
    """Where a link of a document leads within the portal; `None` for files that are only in the repository."""
    name, _, anchor = target.partition("#")
    if not name or "://" in name:
        return target
    if name.endswith(".md") and (folder() / name).is_file() and "/" not in name:
        return reverse("guide:document", args=[name.removesuffix(".md")]) + (f"#{anchor}" if anchor else "")
    return reverse("guide:file", args=[name]) if name in attachments() else None
