"""Reports actions on teams, tokens and the store to the audit trail.

The audit trail is in an app above these ones, so they cannot import it. They call a keeper instead, which
`apps.optimization` connects when Django starts (`apps.optimization.audit.record`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from apps.accounts.models import Team, User


class Keeper(Protocol):
    """Records one action inside the caller's transaction, so that a rollback removes the record too."""

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
    """Calls `keeper` for every action from now on. Connecting it twice has no further effect."""
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
    """Reports one action. `action` is dotted, such as `member.removed`; `actor` is `None` for Lathe itself."""
    for keeper in _keepers:
        keeper(action, actor=actor, team=team, subject=subject, reason=reason, data=data)


def tell_changes(action: str, actor: User, team: Team, subject: str, before: Mapping[str, Any], row: object) -> None:
    """Reports the fields of `row` that differ from `before`, each with both values. Reports nothing if none differs."""
    after = {name: getattr(row, name) for name in before}
    changed = {name: [before[name], value] for name, value in after.items() if before[name] != value}
    if changed:
        tell(action, actor=actor, team=team, subject=subject, data=changed)
