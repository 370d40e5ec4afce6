"""The lineage of a model: the tree of its versions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from apps.models.models import ModelVersion


@dataclass(frozen=True)
class Branch:
    """A version and the versions made from it, oldest first."""

    version: ModelVersion
    children: tuple[Branch, ...]


def lineage(versions: Iterable[ModelVersion]) -> tuple[Branch, ...]:
    """The trees that `versions` form by their parents. A version whose parent is not among them is a root."""
    ordered = sorted(versions, key=lambda version: version.number)
    known = {version.pk for version in ordered}
    children: dict[int | None, list[ModelVersion]] = defaultdict(list)
    for version in ordered:
        children[version.parent_id if version.parent_id in known else None].append(version)

    def branch(version: ModelVersion) -> Branch:
        return Branch(version, tuple(branch(child) for child in children[version.pk]))

    return tuple(branch(version) for version in children[None])
