"""The sections of a model's cards that members write, over the API."""

from __future__ import annotations

import pytest

from apps.accounts.models import User
from apps.models.errors import CardChangedMeanwhile
from tests.api.conftest import Api
from tests.portal.world import World

pytestmark = pytest.mark.django_db


def test_a_card_is_read_and_written_and_an_old_revision_is_refused(
    api: Api, everything: World, engineer: User, viewer: User
) -> None:
    address, mine = f"/api/v1/models/{everything.model.pk}/card/", api(engineer)
    assert mine.get(address).json()["revision"] == 0
    written = mine.patch(address, {"intended_use": "Clothes.", "expected": 0}, format="json").json()
    assert (written["revision"], written["edited_by"]) == (1, engineer.email)
    mine.patch(address, {"contacts": "olga@example.org"}, format="json")
    found = api(viewer).get(address).json()
    assert (found["intended_use"], found["contacts"], found["revision"]) == ("Clothes.", "olga@example.org", 2)
    refused = mine.patch(address, {"intended_use": "Shoes.", "expected": 1}, format="json")
    assert (refused.status_code, refused.json()["code"]) == (409, CardChangedMeanwhile.code)
    assert api(viewer).patch(address, {"contacts": ""}, format="json").status_code == 403
