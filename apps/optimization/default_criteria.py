"""Default criteria: a team's, and each member's own, which takes precedence over the team's.

A request that names criteria, or includes some, uses those and no default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from apps.accounts.models import Role, Team, User
from apps.accounts.services import require_role
from apps.agents.contracts.criteria import Criteria
from apps.agents.planning.conflicts.values import Precedence
from apps.audit import trail
from apps.optimization.errors.criteria import CriteriaOutdated, DefaultOfAnotherTeam
from apps.optimization.models import CriteriaSet, DefaultCriteria


@dataclass(frozen=True)
class Defaults:
    """The defaults that apply to one member of one team."""

    team: CriteriaSet | None
    member: CriteriaSet | None

    @property
    def used(self) -> CriteriaSet | None:
        """What a session starts with if the request names no criteria."""
        return self.member or self.team

    @property
    def sentence(self) -> str:
        """Which of them is used, in a sentence; empty if there is none."""
        if self.member and self.team and self.member != self.team:
            sentence = _("Your default, {own}, takes precedence over the team's, {team}.")
            return sentence.format(own=self.member, team=self.team)
        if self.member:
            return _("Your default is {criteria}.").format(criteria=self.member)
        return _("The team's default is {criteria}.").format(criteria=self.team) if self.team else ""


def named_or_default(
    criteria_set: CriteriaSet | None, criteria: Criteria | Mapping[str, Any] | None, user: User, team: Team
) -> CriteriaSet | None:
    """The named criteria of a request, or the default if it has none at all."""
    return criteria_set if criteria_set is not None or criteria is not None else defaults_of(user, team).used


def precedence(criteria_set: CriteriaSet | None, user: User, team: Team) -> Precedence | None:
    """That these named criteria are the member's own default and the team's is another; `None` otherwise."""
    found = defaults_of(user, team) if criteria_set is not None else None
    if found is None or found.team is None or found.member != criteria_set or found.member == found.team:
        return None
    return Precedence(own=str(found.member), team=str(found.team), criteria=found.team.criteria)


def defaults_of(user: User, team: Team) -> Defaults:
    """The defaults of a member in a team, in one query."""
    rows = DefaultCriteria.objects.filter(team=team).select_related("criteria_set__team")
    by_user = {row.user_id: row.criteria_set for row in rows if row.user_id in (None, user.pk)}
    return Defaults(team=by_user.get(None), member=by_user.get(user.pk))


@transaction.atomic
def set_default(team: Team, criteria_set: CriteriaSet | None, *, user: User, personal: bool) -> None:
    """Make `criteria_set` the team's default, or the member's own; `None` removes it.

    Owners set a team's default, engineers their own. Raises `PermissionDenied`, `CriteriaOutdated` for an old
    version, `DefaultOfAnotherTeam` for another team's criteria.
    """
    require_role(user, team, Role.ENGINEER if personal else Role.OWNER)
    if criteria_set is not None:
        _check(criteria_set, team)
    rows = DefaultCriteria.objects.filter(team=team, user=user if personal else None)
    before = rows.select_related("criteria_set").first()
    if (before.criteria_set if before else None) == criteria_set:
        return
    if criteria_set is None:
        rows.delete()
    else:
        DefaultCriteria.objects.update_or_create(
            team=team, user=user if personal else None, defaults={"criteria_set": criteria_set}
        )
    trail.record(
        "criteria.default_changed",
        actor=user,
        team=team,
        subject=str(criteria_set or "no default"),
        data={"for": user.email if personal else "team", "before": str(before.criteria_set) if before else None},
    )


def follow(old: CriteriaSet, new: CriteriaSet) -> None:
    """Let the defaults that refer to a version refer to its successor."""
    DefaultCriteria.objects.filter(criteria_set=old).update(criteria_set=new)


def forget(retired: CriteriaSet, *, user: User) -> None:
    """Remove the defaults that refer to criteria that are retired, and record each."""
    for row in DefaultCriteria.objects.filter(criteria_set=retired).select_related("team", "user"):
        trail.record(
            "criteria.default_changed",
            actor=user,
            team=row.team,
            subject="no default",
            reason=f"{retired} was retired.",
            data={"for": row.user.email if row.user else "team", "before": str(retired)},
        )
        row.delete()


def _check(criteria_set: CriteriaSet, team: Team) -> None:
    if criteria_set.team_id not in (None, team.pk):
        raise DefaultOfAnotherTeam(field="criteria_set", name=criteria_set, team=team)
    # Locked, so that a change at the same moment finds this default and moves it.
    if not CriteriaSet.objects.select_for_update().current().filter(pk=criteria_set.pk).exists():
        raise CriteriaOutdated(name=criteria_set.name, version=criteria_set.version)
