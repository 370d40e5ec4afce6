"""Conflicts speak the language of the page; the API and records keep the sentence of the agents."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.translation import gettext, override

from apps.accounts.models import User
from apps.agents.contracts.criteria import Criteria
from apps.agents.planning.conflicts.checking import conflicts_of
from apps.models.models import DataSet, ModelVersion
from apps.optimization.conflict_sentences import CONFLICTS, PARTS, in_language, is_known
from apps.optimization.models import CriteriaSet
from tests.agents.planning.conflicts.test_rules import CASES, KERAS, STATIC, Case

ENGLISH = ("The nearest", "Allow ", "Permit ", "required", " but ", " and ", "limit ")
REASONED = ("technique_incompatible", "required_left_out", "technique_paused", "loss_undecidable")
"""Sentences that quote one of a technique, or of the data's advice, which stays as it was written."""
EIGHT = {"objective": "size", "allowed_techniques": [STATIC], "constraints": {"min_size_reduction": 8}}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.code}-{case.severity}")
def test_every_sentence_is_recognized_and_said_in_german(case: Case) -> None:
    messages = [one.message for one in conflicts_of(Criteria.model_validate(case.body), case.known)]
    assert messages
    assert [one for one in messages if not is_known(one)] == []
    assert [in_language(one) for one in messages] == messages, "in English nothing changes"
    with override("de"):
        for one in messages:
            said = in_language(one)
            assert said != one
            if case.code not in REASONED:
                assert not [word for word in ENGLISH if word in said], said


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            "The model has to be at least 8 times smaller, but with the permitted number types the file cannot become "
            "more than 4.00 times smaller. The nearest is Static int8 (QDQ): 3.92 times smaller, and 8 times is "
            "required. Allow other techniques, or set the limit to 3.92 times smaller.",
            "Das Modell muss mindestens 8-mal kleiner werden, aber mit den zugelassenen Zahlentypen kann die Datei "
            "höchstens 4.00-mal kleiner werden. Am nächsten kommt Static int8 (QDQ): 3.92-mal kleiner, und 8-mal ist "
            "verlangt. Erlauben Sie andere Verfahren, oder setzen Sie die Grenze auf 3.92-mal kleiner.",
        ),
        (
            "LiteRT float16 runs on the CPU only, but the target is a GPU (CUDA). Change the target, or do without it.",
            "LiteRT float16 läuft nur auf: die CPU. Das Zielgerät ist aber eine GPU (CUDA). Ändern Sie das Zielgerät, "
            "oder verzichten Sie darauf.",
        ),
        ("Something that no form made.", "Something that no form made."),
    ],
)
def test_sentences_and_their_parts_are_said_in_the_language_of_the_page(message: str, said: str) -> None:
    with override("de"):
        assert in_language(message) == said


def test_every_form_has_a_german_one() -> None:
    with override("de"):
        assert [one for one in (*CONFLICTS, *PARTS) if gettext(one) == one] == []


def test_the_sentence_about_an_export_is_recognized() -> None:
    exporter = KERAS.exporter(STATIC)
    assert exporter is not None
    criteria = Criteria.model_validate({**EIGHT, "allowed_techniques": [exporter.name, STATIC]})
    (message,) = [one.message for one in conflicts_of(criteria, KERAS) if one.code == "size_out_of_reach"]
    with override("de"):
        assert "solange ihr Export alle Gewichte behält" in in_language(message)


@pytest.mark.django_db
def test_a_german_page_has_german_conflicts_and_the_api_english_ones(
    client: Client, engineer: User, version: ModelVersion, dataset: DataSet
) -> None:
    engineer.language = "de"
    engineer.save()
    client.force_login(engineer)
    criteria = CriteriaSet.objects.create(
        team=version.model.team, name="Too small", body=Criteria.model_validate(EIGHT).model_dump(mode="json")
    )
    asked = {"version": version.pk, "dataset": dataset.pk, "criteria_set": criteria.pk}
    page = client.get(reverse("optimization:session-preview"), asked).content.decode()
    assert "Das Modell muss mindestens 8-mal kleiner werden" in page
    assert "has to be at least 8 times smaller" not in page
    found = client.post("/api/v1/sessions/preview/", asked, content_type="application/json").json()
    assert "The model has to be at least 8 times smaller" in found["conflicts"][0]["message"]
