"""What other apps have built on a version or a data set, and who removes it.

Sessions stand above the store, so the store cannot name them: `apps.optimization` connects their keeper when Django
starts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from apps.accounts.models import User
    from apps.models.models import DataSet, ModelVersion


class Keeper(Protocol):
    """Knows the rows of one kind that rest on versions and data sets."""

    def count(self, *, versions: Iterable[ModelVersion] = (), datasets: Iterable[DataSet] = ()) -> int:
        """How many rest on any of these."""
        ...

    def remove(self, user: User, *, versions: Iterable[ModelVersion] = (), datasets: Iterable[DataSet] = ()) -> None:
        """Removes them inside the caller's transaction. Raises the errors of removing one: nothing is removed then."""
        ...


_keepers: list[Keeper] = []


def connect(keeper: Keeper) -> None:
    """From now on `keeper` is asked. Connecting it twice changes nothing."""
    if keeper not in _keepers:
        _keepers.append(keeper)


def count(*, versions: Iterable[ModelVersion] = (), datasets: Iterable[DataSet] = ()) -> int:
    """How many sessions rest on any of these."""
    return sum(keeper.count(versions=versions, datasets=datasets) for keeper in _keepers)


def remove(user: User, *, versions: Iterable[ModelVersion] = (), datasets: Iterable[DataSet] = ()) -> None:
    """Removes what rests on them, for `user`."""
    for keeper in _keepers:
        keeper.remove(user, versions=versions, datasets=datasets)
