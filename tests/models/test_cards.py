"""The sections of a model's cards that members write: on the page and in the audit trail."""

from __future__ import annotations

import pytest
from django.core.exceptions import PermissionDenied
from django.test import Client

from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.models import cards
from apps.models.errors import CardTextTooLong
from apps.models.models import EditedCard, RegisteredModel

USE = "# Photos\r\n\r\n**Not** for <script>alert(1)</script> faces."


def answers(revision: int, **texts: str) -> dict[str, object]:
    """What the form sends."""
    empty = dict.fromkeys(cards.TITLES, "")
    return {**empty, **texts, "revision": revision}


def test_a_section_is_written_read_and_recorded(model: RegisteredModel, engineer: User, client: Client) -> None:
    client.force_login(engineer)
    address = f"{model.get_absolute_url()}card/"
    assert "Nobody has written yet" in client.get(model.get_absolute_url()).content.decode()
    saved = client.post(address, answers(0, intended_use=USE), follow=True).content.decode()
    assert "The card was saved" in saved
    assert "<h3>Intended use</h3>" in saved
    assert "<h4>Photos</h4>" in saved
    assert "<strong>Not</strong>" in saved
    assert "<script>alert(1)" not in saved
    assert "Training data" not in saved, "empty sections are left out"
    event = AuditEvent.objects.filter(action="model.card_edited").get()
    written = USE.replace("\r\n", "\n")
    assert (event.actor, event.subject, event.data) == (engineer.email, model.name, {"intended_use": ["", written]})


def test_what_stays_the_same_makes_no_revision(model: RegisteredModel, engineer: User) -> None:
    cards.edit_card(model, engineer, contacts="olga@example.org")
    again = cards.edit_card(model, engineer, contacts=" olga@example.org\n")
    assert again.revision == 1
    assert AuditEvent.objects.filter(action="model.card_edited").count() == 1


def test_a_preview_shows_the_answers_and_saves_nothing(model: RegisteredModel, engineer: User, client: Client) -> None:
    client.force_login(engineer)
    asked = {**answers(0, limitations="Fails at *night*."), "preview": "1"}
    whole = client.post(f"{model.get_absolute_url()}card/", asked).content.decode()
    assert "<em>night</em>" in whole
    assert "Fails at *night*.</textarea>" in whole
    part = client.post(f"{model.get_absolute_url()}card/", asked, headers={"HX-Request": "true"}).content.decode()
    assert part.lstrip().startswith("<section")
    assert "<em>night</em>" in part
    assert not EditedCard.objects.exists()


def test_of_two_who_edit_at_once_the_second_sees_what_the_first_saved(
    model: RegisteredModel, engineer: User, owner: User, client: Client
) -> None:
    cards.edit_card(model, owner, intended_use="Clothes.")
    client.force_login(engineer)
    address = f"{model.get_absolute_url()}card/"
    refused = client.post(address, answers(0, intended_use="Shoes."))
    page = refused.content.decode()
    assert refused.status_code == 409
    assert f"Nothing was saved, because {owner} changed the card" in page
    assert "<p>Clothes.</p>" in page, "what the other saved"
    assert "Shoes.</textarea>" in page, "what was typed is not lost"
    assert 'name="revision" value="1"' in page, "the next save is about what was read"
    assert cards.texts_of(model).intended_use == "Clothes."
    assert client.post(address, answers(1, intended_use="Clothes and shoes.")).status_code == 302
    assert cards.texts_of(model).intended_use == "Clothes and shoes."


def test_a_section_has_a_limit(model: RegisteredModel, engineer: User, client: Client) -> None:
    with pytest.raises(CardTextTooLong) as refusal:
        cards.edit_card(model, engineer, contacts="x" * 20_001)
    assert (refusal.value.field, refusal.value.status) == ("contacts", 422)
    client.force_login(engineer)
    page = client.post(f"{model.get_absolute_url()}card/", answers(0, contacts="x" * 20_001))
    assert page.status_code == 422
    assert "“Contacts” has 20,001 characters" in page.content.decode()


def test_viewers_read_and_do_not_write(model: RegisteredModel, viewer: User, engineer: User, client: Client) -> None:
    cards.edit_card(model, engineer, contacts="olga@example.org")
    with pytest.raises(PermissionDenied):
        cards.edit_card(model, viewer, contacts="vera@example.org")
    client.force_login(viewer)
    page = client.get(model.get_absolute_url()).content.decode()
    assert "olga@example.org" in page
    assert f"{model.get_absolute_url()}card/" not in page
    assert client.get(f"{model.get_absolute_url()}card/").status_code == 403
