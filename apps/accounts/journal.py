"""What people did to teams, keys and the store, told to whoever keeps the books.

The audit trail lives above these apps, so they cannot write to it themselves: they tell the keeper, which
`apps.optimization` connects when Django starts (`apps.optimization.audit.record`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from apps.accounts.models import Team, User


class Keeper(Protocol):
    """Records one act inside the caller's transaction: what is rolled back was never done."""

    def __call__(
        self,
        action: str,
        *,
        actor: User | None,
        team: Team | None,
        subject: str,
        reason: str,
        data: Mapping[str, Any] | None,
    ) -> object: ...


_keepers: list[Keeper] = []


def connect(keeper: Keeper) -> None:
    """From now on `keeper` is told of everything. Connecting it twice changes nothing."""
    if keeper not in _keepers:
        _keepers.append(keeper)


def tell(
    action: str,
    *,
    actor: User | None,
    team: Team | None = None,
    subject: str = "",
    reason: str = "",
    data: Mapping[str, Any] | None = None,
) -> None:
    """One act: `action` is dotted, such as `member.removed`; `actor` is `None` for Lathe itself."""
    for keeper in _keepers:
        keeper(action, actor=actor, team=team, subject=subject, reason=reason, data=data)


def tell_changes(action: str, actor: User, team: Team, subject: str, before: Mapping[str, Any], row: object) -> None:
    """One act for the fields of `row` that are no longer as `before`, each with both values; none where all are."""
    after = {name: getattr(row, name) for name in before}
    changed = {name: [before[name], value] for name, value in after.items() if before[name] != value}
    if changed:
        tell(action, actor=actor, team=team, subject=subject, data=changed)
