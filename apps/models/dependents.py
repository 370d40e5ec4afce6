"""Rows of other apps that depend on a version or a data set, and their removal.

The store cannot import sessions, which are in an app above it. `apps.optimization` connects their keeper when Django
starts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from apps.accounts.models import User
    from apps.models.models import DataSet, ModelVersion


class Keeper(Protocol):
    """Counts and removes the rows of one kind that depend on versions and data sets."""

    def count(self, *, versions: Iterable[ModelVersion] = (), datasets: Iterable[DataSet] = ()) -> int:
        """The number of rows that depend on any of these."""
        ...

    def remove(self, user: User, *, versions: Iterable[ModelVersion] = (), datasets: Iterable[DataSet] = ()) -> None:
        """Removes them inside the caller's transaction. If removing one fails, raises its error and removes nothing."""
        ...


_keepers: list[Keeper] = []


def connect(keeper: Keeper) -> None:
    """Includes `keeper` from now on. Connecting it twice has no further effect."""
    if keeper not in _keepers:
        _keepers.append(keeper)


def count(*, versions: Iterable[ModelVersion] = (), datasets: Iterable[DataSet] = ()) -> int:
    """The number of sessions that depend on any of these."""
    return sum(keeper.count(versions=versions, datasets=datasets) for keeper in _keepers)


def remove(user: User, *, versions: Iterable[ModelVersion] = (), datasets: Iterable[DataSet] = ()) -> None:
    """Removes the rows that depend on them, on behalf of `user`."""
    for keeper in _keepers:
        keeper.remove(user, versions=versions, datasets=datasets)
