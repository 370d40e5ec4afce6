"""Who may look at the operation of all teams, and who may act on it: the same permissions as in the admin."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied
from django.utils.translation import gettext as _

from apps.accounts.models import User

LOOK = "optimization.view_optimizationsession"
ACT = "optimization.change_optimizationsession"


def require_operator(user: User, permission: str = LOOK) -> None:
    """Raises `PermissionDenied` unless `user` is staff with `permission` and, in the API, no token of one team."""
    token = user.token
    if not user.is_staff or not user.has_perm(permission) or (token is not None and token.team_id is not None):
        raise PermissionDenied(_("This is for the operators of this installation. Ask one of them."))
