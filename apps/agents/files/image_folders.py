"""Assigns the pictures of a zip to classes by the names of its folders. Decodes nothing."""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.errors.datasets import ClassesMismatch, DatasetEmpty, DatasetUnreadable, PicturesUnread
from apps.agents.contracts.phrasing import named_few
from apps.agents.contracts.reports.dataset import Task
from apps.agents.files.archives import DAMAGE, Entry
from apps.agents.files.npz_headers import checked_entries
from apps.agents.files.picture_kinds import (
    HEAD_BYTES,
    READ,
    is_called_a_picture,
    is_called_an_unread_picture,
    kind_of_bytes,
)

_SPLIT = re.compile(
    r"(train(ing)?|val(id(ation)?)?|test(ing)?|eval(uation)?|dev|holdout)([-_ ]?(set|data|images?|split|\d+))*",
    re.IGNORECASE,
)
"""Names of folders that contain a part of a data set. They are above the class folders."""


@dataclass(frozen=True)
class ImageFolders:
    """The pictures of a zip by class folder, classes and files in alphabetical order."""

    classes: tuple[str, ...]
    entries: tuple[Entry, ...]
    labels: tuple[int, ...]
    """Index into `classes` for each entry."""
    notes: tuple[str, ...] = ()
    """What was left out and which outer folders were skipped, in sentences."""


@dataclass(frozen=True)
class _Placed:
    """A picture, and the rest of its folder path."""

    entry: Entry
    folders: tuple[str, ...]


def image_folders(path: Path, spec: DatasetSpec) -> ImageFolders:
    """Assign each picture to a class. Folders around all classes, and those of splits, are skipped.

    A file is a picture by its extension or by its first bytes. Raises `ClassesMismatch` for a folder that
    `spec.classes` does not name, `PicturesUnread` for kinds that are not supported, `DatasetUnreadable` for pictures
    outside class folders, and `DatasetEmpty` without any picture.
    """
    entries = checked_entries(path, "images")
    shown = [entry for entry in entries if not _is_hidden(entry.name)]
    pictures, others = _sorted_out(path, shown)
    if not pictures:
        raise DatasetEmpty(reason="the archive does not contain pictures in folders")
    placed, splits = _looked_through([_Placed(entry, entry.name.parts[:-1]) for entry in pictures], spec)
    by_class: dict[str, list[Entry]] = {}
    for one in placed:
        by_class.setdefault(one.folders[0], []).append(one.entry)
    classes, index = _class_indices(sorted(by_class), spec.classes)
    pairs = [
        (entry, index[name]) for name in sorted(by_class) for entry in sorted(by_class[name], key=lambda e: str(e.name))
    ]
    notes = (*_split_notes(splits), *_other_file_notes(others, placed), *_hidden_file_notes(len(entries) - len(shown)))
    return ImageFolders(classes, tuple(entry for entry, _ in pairs), tuple(label for _, label in pairs), notes)


# --- pictures ---------------------------------------------------------------------------------------------------------


def _is_hidden(name: PurePosixPath) -> bool:
    return any(part.startswith((".", "__MACOSX")) or part in ("Thumbs.db", "desktop.ini") for part in name.parts)


def _sorted_out(path: Path, entries: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
    """Pictures and other files. The decoder checks later whether files with a picture's extension are pictures."""
    pictures, others, unread = [], [], []
    with zipfile.ZipFile(path) as archive:
        for entry in entries:
            called = is_called_a_picture(entry.name)
            kind = None if called else kind_of_bytes(_head(archive, entry))
            if called or kind in READ:
                pictures.append(entry)
            elif kind or is_called_an_unread_picture(entry.name):
                unread.append((entry, kind or entry.name.suffix.lower()))
            else:
                others.append(entry)
    if unread:
        kinds = ", ".join(sorted({kind for _, kind in unread}))
        names = named_few([str(entry.name) for entry, _ in unread])
        raise PicturesUnread(count=len(unread), files=len(entries), kinds=kinds, names=names, field="file")
    return pictures, others


def _head(archive: zipfile.ZipFile, entry: Entry) -> bytes:
    try:
        with archive.open(entry.info) as file:
            return file.read(HEAD_BYTES)
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DatasetUnreadable(kind="images", reason=f"{entry.name}: {error}") from error


# --- classes ----------------------------------------------------------------------------------------------------------


def _looked_through(pictures: Sequence[_Placed], spec: DatasetSpec) -> tuple[list[_Placed], Counter[str]]:
    """The pictures with their class folder first, and the number of pictures in each folder of a split."""
    splits: Counter[str] = Counter()
    placed = list(pictures)
    while True:
        first = {one.folders[:1] for one in placed}
        deeper = all(len(one.folders) > 1 for one in placed)
        if deeper and len(first) == 1 and not _is_a_class(placed[0].folders[0], spec):
            if not splits and _is_split(placed[0].folders[0]):
                splits[placed[0].folders[0]] += len(placed)
            placed = [_Placed(one.entry, one.folders[1:]) for one in placed]
        elif not splits and _are_splits(placed, spec):
            _refuse_outside([one for one in placed if len(one.folders) < 2])
            splits.update(one.folders[0] for one in placed)
            placed = [_Placed(one.entry, one.folders[1:]) for one in placed]
        else:
            break
    _refuse_outside([one for one in placed if not one.folders])
    return placed, splits


def _is_a_class(folder: str, spec: DatasetSpec) -> bool:
    return folder in spec.classes


def _is_split(folder: str) -> bool:
    return _SPLIT.fullmatch(folder) is not None


def _are_splits(placed: Sequence[_Placed], spec: DatasetSpec) -> bool:
    """Whether the first folders are parts of a data set. Without folders below, they would not be classes of a model.

    Raises `DatasetUnreadable` if some are and others are not.
    """
    first = {one.folders[0] for one in placed if one.folders}
    splits = {name for name in first if _is_split(name) and not _is_a_class(name, spec)}
    deep = {one.folders[0] for one in placed if len(one.folders) > 1} & splits
    if deep and splits != first:
        parts, others = (", ".join(sorted(names)) for names in (splits, first - splits))
        reason = f"the folders {parts} are parts of a data set but lie beside {others}: name the classes, or move them"
        raise DatasetUnreadable(kind="images", reason=reason, field="file")
    return splits == first and bool(deep or (len(first) > 1 and spec.task is Task.CLASSIFICATION))


def _refuse_outside(outside: Sequence[_Placed]) -> None:
    if outside:
        names = named_few([str(one.entry.name) for one in outside])
        are = "1 picture lies" if len(outside) == 1 else f"{len(outside):,} pictures lie"
        reason = f"{are} outside all class folders: {names}"
        raise DatasetUnreadable(kind="images", reason=reason, field="file")


def _class_indices(folders: Sequence[str], named: Sequence[str]) -> tuple[tuple[str, ...], dict[str, int]]:
    if named:
        unknown = [folder for folder in folders if folder not in named]
        if unknown:
            reason = f"folder {unknown[0]!r} is not among the classes ({', '.join(named)})"
            raise ClassesMismatch(reason=reason)
        return tuple(named), {name: named.index(name) for name in folders}
    if all(folder.isdecimal() for folder in folders):
        numbers = {folder: int(folder) for folder in folders}
        if len(set(numbers.values())) < len(numbers):
            raise ClassesMismatch(reason="two folders have the same number")
        if max(numbers.values()) >= 1_000_000:
            raise ClassesMismatch(reason=f"folder {max(numbers.values())} is not a class number")
        return tuple(str(index) for index in range(max(numbers.values()) + 1)), numbers
    return tuple(folders), {name: index for index, name in enumerate(folders)}


# --- notes ------------------------------------------------------------------------------------------------------------


def _split_notes(splits: Counter[str]) -> tuple[str, ...]:
    if not splits:
        return ()
    counted = ", ".join(f"{name} ({count:,})" for name, count in sorted(splits.items()))
    note = f"The class folders lie in {counted}. Their pictures are combined."
    if any(name.lower().startswith("train") for name in splits):
        note += (
            " If the model was trained on some of them, upload only the others: accuracy on training data is too high."
        )
    return (note,)


def _other_file_notes(others: Sequence[Entry], placed: Sequence[_Placed]) -> tuple[str, ...]:
    if not others:
        return ()
    names = named_few([str(entry.name) for entry in others])
    are = "1 file is not a picture and was" if len(others) == 1 else f"{len(others):,} files are not pictures and were"
    empty = sorted(_folders_beside(others, placed))
    note = f"{are} left out: {names}."
    return (f"{note} There are no pictures in {named_few(empty)}." if empty else note,)


def _folders_beside(others: Sequence[Entry], placed: Sequence[_Placed]) -> set[str]:
    """Folders beside the class folders that contain only other files."""
    classes = {one.entry.name.parts[: len(one.entry.name.parts) - len(one.folders)] for one in placed}
    parents = {path[:-1] for path in classes}
    above = {(len(path), path) for path in parents}
    found = set()
    for entry in others:
        parts = entry.name.parts
        for length, path in above:
            if parts[:length] == path and len(parts) > length + 1 and parts[: length + 1] not in classes:
                found.add(parts[length])
    return found


def _hidden_file_notes(count: int) -> tuple[str, ...]:
    if not count:
        return ()
    return (f"{count:,} hidden file{'s' if count > 1 else ''} of the system that packed the archive were ignored.",)
