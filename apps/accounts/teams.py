"""The team of an API request."""

from __future__ import annotations

from apps.accounts.errors import NoTeam, TeamAmbiguous, TeamUnknown
from apps.accounts.models import Team, User


def team_for(user: User, slug: str | None) -> Team:
    """The team named by `slug`, or the only team of `user`.

    Raises `NoTeam`, `TeamAmbiguous` or `TeamUnknown`, whose sentences list what may be written.
    """
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
