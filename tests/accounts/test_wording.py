"""allauth's German texts are overruled where they say `du`."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import translation

from apps.accounts.models import User
from apps.accounts.services import choose_language
from apps.accounts.wording import TEXTS

FAMILIAR = re.compile(r"\b(?:[Dd]u|[Dd]ich|[Dd]ir|[Dd]ein\w*|[Bb]ist)\b")


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_addresses_members_formally(text: str) -> None:
    with translation.override("de"):
        told = translation.gettext(text)
    assert told != text
    assert not FAMILIAR.search(told)


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["account_reset_password", "account_logout", "account_change_password", "mfa_index"])
def test_a_page_of_the_account_addresses_members_formally(client: Client, owner: User, name: str) -> None:
    choose_language(owner, "de")
    client.force_login(owner)
    assert not FAMILIAR.search(client.get(reverse(name)).content.decode())
