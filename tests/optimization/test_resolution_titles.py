"""The buttons of resolutions speak the language of the page; records keep the title of the agents."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.translation import gettext, override

from apps.accounts.models import User
from apps.agents.contracts.criteria import Criteria
from apps.agents.planning.conflicts.checking import conflicts_of
from apps.models.models import DataSet, ModelVersion
from apps.optimization.models import CriteriaSet
from apps.optimization.resolution_titles import AMOUNTS, TITLES, in_language, is_known
from tests.agents.planning.conflicts.test_rules import CASES, Case

TOO_SMALL = {"objective": "size", "allowed_techniques": ["onnx-static-int8"], "constraints": {"min_size_reduction": 8}}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.code}-{case.severity}")
def test_every_title_is_recognized(case: Case) -> None:
    found = conflicts_of(Criteria.model_validate(case.body), case.known)
    titles = [each.title for one in found for each in one.resolutions]
    assert titles
    assert [title for title in titles if not is_known(title)] == []
    assert [in_language(title) for title in titles] == titles, "in English nothing changes"


@pytest.mark.parametrize(
    ("title", "said"),
    [
        ("Allow all techniques", "Alle Verfahren erlauben"),
        ("Do without Static int8 (QDQ)", "Auf Static int8 (QDQ) verzichten"),
        ("Make the objective latency", "Das Ziel auf „Latenz“ setzen"),
        ("Remove the limit on top-1 accuracy", "Die Grenze für Top-1-Genauigkeit entfernen"),
        ("Remove the limit on the size", "Die Grenze für die Größe entfernen"),
        ("Remove the limit “at least 2 times smaller”", "Die Grenze „mindestens 2-mal kleiner“ entfernen"),
        ("Allow a loss of up to 0.5 points", "Einen Verlust von bis zu 0.5 Punkte erlauben"),
        ("Permit A and B as well (predicted: 3.92 times)", "A und B ebenfalls zulassen (vorhergesagt: 3.92-fach)"),
        ("Something else", "Something else"),
    ],
)
def test_titles_are_said_in_the_language_of_the_page(title: str, said: str) -> None:
    with override("de"):
        assert in_language(title) == said


def test_every_title_has_a_german_one() -> None:
    with override("de"):
        assert [one for one in (*TITLES, *AMOUNTS) if gettext(one) == one] == []


@pytest.mark.django_db
def test_a_german_page_has_german_buttons(
    client: Client, engineer: User, version: ModelVersion, dataset: DataSet
) -> None:
    engineer.language = "de"
    engineer.save()
    client.force_login(engineer)
    team = version.model.team
    named = CriteriaSet.objects.create(team=team, name="Mine", body=Criteria.model_validate(TOO_SMALL).model_dump())
    asked = {"version": version.pk, "dataset": dataset.pk, "criteria_set": named.pk}
    page = client.get(reverse("optimization:session-preview"), asked).content.decode()
    assert "Die Grenze für die Größe entfernen</button>" in page
    assert "mal kleiner verlangen</button>" in page
