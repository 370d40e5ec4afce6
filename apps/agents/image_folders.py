"""Which picture of a zip belongs to which class, by the names of its folders. Light."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from apps.agents.archives import Entry
from apps.agents.dataset_spec import DatasetSpec
from apps.agents.errors import ClassesMismatch, DatasetEmpty, DatasetUnreadable
from apps.agents.npz_headers import checked_entries

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})


@dataclass(frozen=True)
class ImageFolders:
    """The pictures of a zip by class folder, classes and files in alphabetical order."""

    classes: tuple[str, ...]
    entries: tuple[Entry, ...]
    labels: tuple[int, ...]
    """Index into `classes`, one an entry."""


def image_folders(path: Path, spec: DatasetSpec) -> ImageFolders:
    """Which picture belongs to which class. A common folder around all classes is looked through.

    Raises `ClassesMismatch` for a folder that `spec.classes` does not name, and `DatasetEmpty` without any picture.
    """
    entries = [entry for entry in checked_entries(path, "images") if _is_picture(entry)]
    if not entries:
        raise DatasetEmpty(reason="the archive holds no pictures in folders")
    depth = _class_depth(entries)
    by_class: dict[str, list[Entry]] = {}
    for entry in entries:
        by_class.setdefault(entry.name.parts[depth], []).append(entry)
    classes, index = _class_indices(sorted(by_class), spec.classes)
    pairs = [
        (entry, index[name]) for name in sorted(by_class) for entry in sorted(by_class[name], key=lambda e: str(e.name))
    ]
    return ImageFolders(classes, tuple(entry for entry, _ in pairs), tuple(label for _, label in pairs))


def _is_picture(entry: Entry) -> bool:
    hidden = any(part.startswith((".", "__MACOSX")) for part in entry.name.parts)
    return not hidden and entry.name.suffix.lower() in IMAGE_SUFFIXES


def _class_depth(entries: Sequence[Entry]) -> int:
    """Which part of the paths is the class: the first one, below folders that all pictures share."""
    depth = 0
    while all(len(entry.name.parts) > depth + 2 for entry in entries):
        if len({entry.name.parts[depth] for entry in entries}) > 1:
            break
        depth += 1
    for entry in entries:
        if len(entry.name.parts) < depth + 2:
            raise DatasetUnreadable(kind="images", reason=f"the picture {entry.name} lies in no class folder")
    return depth


def _class_indices(folders: Sequence[str], named: Sequence[str]) -> tuple[tuple[str, ...], dict[str, int]]:
    if named:
        unknown = [folder for folder in folders if folder not in named]
        if unknown:
            reason = f"folder {unknown[0]!r} is none of the classes named ({', '.join(named)})"
            raise ClassesMismatch(reason=reason)
        return tuple(named), {name: named.index(name) for name in folders}
    if all(folder.isdecimal() for folder in folders):
        numbers = {folder: int(folder) for folder in folders}
        if len(set(numbers.values())) < len(numbers):
            raise ClassesMismatch(reason="two folders have the same number")
        if max(numbers.values()) >= 1_000_000:
            raise ClassesMismatch(reason=f"folder {max(numbers.values())} is no class number")
        return tuple(str(index) for index in range(max(numbers.values()) + 1)), numbers
    return tuple(folders), {name: index for index, name in enumerate(folders)}
