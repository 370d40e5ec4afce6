"""One of everything, and clients with real tokens whose every answer is held against the document."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from apps.accounts import services
from apps.accounts.models import Team, TokenScope, User
from tests.api.contract import Client, Contract, contract
from tests.portal import world
from tests.portal.world import World

Api = Callable[..., Client]


@pytest.fixture(scope="session", name="contract")
def one_contract() -> Contract:
    return contract()


@pytest.fixture
def everything(team: Team, owner: User) -> World:
    return world.build(team, owner)


@pytest.fixture
def api(contract: Contract) -> Api:
    """The API as somebody with a token of their own."""

    def client(user: User, scope: TokenScope = TokenScope.WRITE) -> Client:
        return Client(contract, services.create_token(user, name="tests", scope=scope, days=2)[1])

    return client


@pytest.fixture
def anybody(contract: Contract) -> Client:
    """The API without a token."""
    return Client(contract)
