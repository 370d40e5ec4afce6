"""Members, and the material of sessions whose steps are simulated: for benchmarks on an installation of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from apps.accounts.models import Team, User


def member(name: str, team: Team | None = None) -> tuple[User, Team]:
    """An engineer of `team`, or of a team of their own."""
    from apps.accounts.models import Membership, Role, Team, User

    user = User.objects.create_user(f"{name}@example.org", "a password of some length")
    team = team or Team.objects.create(name=name.capitalize(), slug=name)
    Membership.objects.create(team=team, user=user, role=Role.ENGINEER)
    return user, team


def simulated_material(team: Team, user: User) -> tuple[Any, Any]:
    """A version and a data set as the workers' checks leave them, with files in the store."""
    from apps.models.storage import put_stream
    from tests.optimization import material
    from tests.optimization.conftest import make_dataset, make_version

    version, dataset = make_version(team, user), make_dataset(team, user)
    for row, content in ((version, material.onnx_bytes()), (dataset, b"the data")):
        row.blob = put_stream([content])
        row.save(update_fields=["blob"])
    return version, dataset


def cookie_of(user: User) -> str:
    """The value of the cookie of a new login. Logging in over the page is limited for each address."""
    from django.conf import settings
    from django.test import Client

    client = Client()
    client.force_login(user, backend="apps.accounts.authentication.PasswordBackend")
    return str(client.cookies[settings.SESSION_COOKIE_NAME].value)


def token_of(user: User) -> str:
    """A new API token that may write."""
    from apps.accounts.models import TokenScope
    from apps.accounts.services import create_token

    return str(create_token(user, name="load", scope=TokenScope.WRITE, days=1)[1])
