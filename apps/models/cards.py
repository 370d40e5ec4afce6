"""The sections of a model's cards that members write. What was measured stands in the cards beside them."""

from __future__ import annotations

from django.db import transaction

from apps.accounts.models import Role, User
from apps.accounts.services import require_role
from apps.agents.contracts.reports.card import CardTexts
from apps.agents.packaging.card import TITLES, sections
from apps.audit import trail
from apps.models import clock
from apps.models.errors import CardChangedMeanwhile, CardTextTooLong
from apps.models.models import EditedCard, RegisteredModel
from apps.texts import storable

LONGEST_SECTION = 20_000
"""In characters."""


def card_of(model: RegisteredModel) -> EditedCard:
    """What members have written, which may be nothing yet. Such a card is not stored."""
    return EditedCard.objects.filter(model=model).select_related("edited_by").first() or EditedCard(model=model)


def texts_of(model: RegisteredModel) -> CardTexts:
    return card_of(model).texts


def texts_read_with(model: RegisteredModel) -> CardTexts:
    """The texts as they were when `model` was read with its card, without another query."""
    try:
        return model.card.texts
    except EditedCard.DoesNotExist:
        return EditedCard().texts


def as_markdown(texts: CardTexts) -> str:
    """All sections with their titles, for a page."""
    return "\n\n".join(sections(texts, level=1))


@transaction.atomic
def edit_card(model: RegisteredModel, user: User, *, expected: int | None = None, **texts: str) -> EditedCard:
    """Changes the given sections and leaves the rest.

    With `expected`, raises `CardChangedMeanwhile` if that is not the card's revision any more. If nothing differs,
    nothing is recorded. Raises `PermissionDenied` below engineer, and `CardTextTooLong`.
    """
    require_role(user, model.team, Role.ENGINEER)
    RegisteredModel.objects.select_for_update().get(pk=model.pk)
    card = card_of(model)
    if expected is not None and expected != card.revision:
        raise CardChangedMeanwhile(model=model.name, by=card.edited_by or "somebody")
    before = card.texts.model_dump()
    after = {name: _clean(name, text) for name, text in texts.items()}
    if {**before, **after} == before:
        return card
    for name, text in after.items():
        setattr(card, name, text)
    card.revision, card.edited_by, card.edited_at = card.revision + 1, user, clock.now()
    card.save()
    trail.record_changes("model.card_edited", user, model.team, model.name, before, card)
    return card


def _clean(name: str, text: str) -> str:
    """The text with line ends of one kind. Raises `CardTextTooLong`."""
    clean = str(storable(text.replace("\r\n", "\n").strip()))
    if len(clean) > LONGEST_SECTION:
        raise CardTextTooLong(field=name, section=TITLES[name], characters=len(clean), longest=LONGEST_SECTION)
    return clean
