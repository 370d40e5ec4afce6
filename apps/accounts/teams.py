"""The team of an API request."""

from __future__ import annotations

from apps.accounts.errors import NoTeam, TeamAmbiguous, TeamUnknown
from apps.accounts.models import Team, User
from apps.ids import bind_ids


def team_for(user: User, slug: str | None) -> Team:
    """The team named by `slug`, or the only team of `user`.

    Raises `NoTeam`, `TeamAmbiguous` or `TeamUnknown`, whose sentences list what may be written.
    """
    team = _team_for(user, slug)
    bind_ids(team=team.pk)
    return team


def _team_for(user: User, slug: str | None) -> Team:
    teams = {team.slug: team for team in Team.objects.visible_to(user)}
    slugs = ", ".join(teams)
    if not teams:
        raise NoTeam()
    if slug is None:
        if len(teams) > 1:
            raise TeamAmbiguous(field="team", slugs=slugs)
        return next(iter(teams.values()))
    if slug not in teams:
        raise TeamUnknown(field="team", slug=slug, slugs=slugs)
    return teams[slug]
