"""Pages of sessions in German: words and numbers are the reader's, and what machines read or what is a record stays."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from html import unescape

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import translation

from apps.accounts.models import Team, User
from apps.agents.contracts.criteria import Criteria, Objective
from apps.agents.contracts.dataset_spec import METRICS
from apps.agents.contracts.faults import Fault
from apps.agents.contracts.reports.constraints import Holds
from apps.agents.contracts.reports.metrics import FindingKind
from apps.agents.contracts.state import CandidateStatus, Outcome, Phase, Status, StepKind
from apps.agents.measuring.scheduling.health import Health
from apps.agents.techniques.spec import Family, Risk
from apps.optimization import live, vocabulary, waiting
from apps.optimization.forms.continuing import ContinueForm
from apps.optimization.localized import listed, localized, number_of_bytes, signed, with_unit
from apps.optimization.models.choices import choices_of
from apps.optimization.rendering import report_html
from apps.optimization.services import report
from apps.optimization.side_by_side.difference import Difference
from apps.optimization.templatetags import measures
from tests.portal import world
from tests.portal.world import World

DRAWN = re.compile(r'\s(?:x|y|x1|x2|y1|y2|cx|cy|r|d|dx|dy|width|height|min|max|value|style)="([^"]*)"')
"""Attributes with numbers that browsers read."""


@pytest.fixture(autouse=True)
def english_afterwards() -> Iterator[None]:
    """A request leaves its language behind in the thread; in the portal, the next one sets its own."""
    yield
    translation.deactivate()


@pytest.fixture
def everything(team: Team, owner: User, engineer: User, viewer: User) -> World:
    return world.build(team, owner)


def german(client: Client, person: User, name: str, *arguments: object) -> str:
    client.force_login(person)
    return unescape(client.get(reverse(name, args=arguments), headers={"Accept-Language": "de"}).content.decode())


@pytest.mark.django_db
class TestPages:
    def test_a_report_speaks_german_about_numbers_in_german(
        self, client: Client, everything: World, engineer: User
    ) -> None:
        html = german(client, engineer, "optimization:report", everything.session.pk)
        for said in (
            "Bericht zu resnet v1",
            "4.00× komprimiert",
            "Komprimierte Größe",
            "die Kriterien zählen die Datei, wie sie ist",
            "Top-1-Genauigkeit",
            "Übernehmen",
        ):
            assert said in html
        assert "Compressed size" not in html

    def test_words_of_rows_are_german_too(self, client: Client, everything: World, engineer: User) -> None:
        audit = german(client, engineer, "optimization:audit")
        for kind in ("Benutzer", "Agent", "System"):
            assert f">{kind}</option>" in audit
        datasets = german(client, engineer, "models:dataset-list")
        assert 'data-label="Art">Arrays</td>' in datasets
        assert 'data-label="Aufgabe">Klassifikation</td>' in datasets
        report = german(client, engineer, "optimization:report", everything.session.pk)
        assert 'role="region" aria-label="Modellkarte"' in report

    def test_a_report_keeps_the_recorded_verdict_in_english(
        self, client: Client, everything: World, viewer: User
    ) -> None:
        reason = everything.session.verdict["reason"]
        assert reason in german(client, viewer, "optimization:report", everything.session.pk)

    @pytest.mark.parametrize("name", ["report", "session-detail", "session-answers", "session-layer-table"])
    def test_what_is_drawn_has_numbers_that_browsers_read(
        self, client: Client, everything: World, viewer: User, name: str
    ) -> None:
        html = german(client, viewer, f"optimization:{name}", everything.session.pk)
        assert [value for value in DRAWN.findall(html) if re.search(r"\d,\d", value)] == []

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("dashboard", "Braucht Ihre Aufmerksamkeit"),
            ("session-list", "Vorhergesagt und gemessen"),
            ("session-new", "Neue Sitzung"),
            ("criteria-list", "Kriterien Ihres Teams"),
            ("criteria-new", "Mindestens schneller (×)"),
            ("audit", "Prüfprotokoll"),
            ("workers", "Verfügbare Verfahren"),
            ("storage", "Aufbewahrung"),
            ("predictions", "Vorhergesagt und gemessen"),
            ("compare", "Wählen Sie 2 bis 6 zum Vergleichen"),
        ],
    )
    def test_a_page_has_its_german_name(
        self, client: Client, everything: World, engineer: User, name: str, said: str
    ) -> None:
        assert said in german(client, engineer, f"optimization:{name}")

    def test_a_push_is_in_the_language_of_the_moment(self, everything: World) -> None:
        with translation.override("de"):
            fragments = live.fragments(everything.session, writes=True)
        assert "Abgeschlossen" in fragments["head"]
        assert "Auswertung" in fragments["head"]

    def test_the_report_in_a_package_is_in_english(self, everything: World) -> None:
        with translation.override("de"):
            html = report_html(report(everything.session))
        assert '<html lang="en">' in html
        assert "Compressed size" in html
        assert "4.00× compressed" in html

    def test_a_comparison_as_a_file_is_in_english(self, client: Client, everything: World, viewer: User) -> None:
        candidate = everything.session.candidates.get()
        items = [f"session:{everything.session.pk}", f"candidate:{everything.session.pk}:{candidate.key}"]
        client.force_login(viewer)
        address = reverse("optimization:compare")
        file = client.get(address, {"item": items, "export": "csv"}, headers={"Accept-Language": "de"})
        assert "Measured,Throughput," in file.content.decode()
        page = client.get(address, {"item": items}, headers={"Accept-Language": "de"}).content.decode()
        assert 'id="compare-measured"' in page
        assert "Durchsatz" in page


def test_the_criteria_of_a_continued_session_begin_with_its_budget() -> None:
    with translation.override("de"):
        titles = [str(title) for title, _ in ContinueForm(criteria=Criteria()).sections]
    assert titles == ["Wie weit gesucht wird", "Worauf es ankommt", "Grenzen", "Verfahren"]


class TestNumbers:
    def test_they_have_the_separators_of_the_page(self) -> None:
        with translation.override("de"):
            assert localized("1,234.5") == "1\u202f234.5"
            assert measures.number(1234.5) == "1\u202f234"
            assert measures.ratio(4.2) == "4.20×"
            assert measures.percent_of(0.0005) == "unter 0.1 %"
            assert measures.interval({"low": 4.02, "high": 4.41}) == "4.02 bis 4.41"
            assert number_of_bytes(11_160_000) == "11.2 MB"
            assert with_unit(1.0, "points") == "1 Punkt"
            assert signed(0.25, "points") == "+0.25 Punkte"

    def test_in_english_they_are_as_agents_write_them(self) -> None:
        assert localized("1,234.5") == "1,234.5"
        assert with_unit(1.0, "points") == "1 point"
        assert signed(-0.3, "points") == "−0.3 points"

    def test_a_list_ends_with_and(self) -> None:
        assert [listed([]), listed(["a"]), listed(["a", "b", "c"])] == ["", "a", "a, b and c"]
        with translation.override("de"):
            assert listed(["a", "b", "c"]) == "a, b und c"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(3, "ein paar Sekunden"), (41, "etwa 40 Sekunden"), (60, "etwa 1 Minute"), (7300, "etwa 2 Stunden")],
)
def test_a_wait_is_told_in_german(seconds: float, said: str) -> None:
    with translation.override("de"):
        assert waiting.about(seconds) == said


@pytest.mark.parametrize("kind", [Status, Phase, StepKind, CandidateStatus, Outcome, Fault, Objective])
def test_the_label_of_a_value_is_the_value_in_words(kind: type[StrEnum]) -> None:
    assert [str(label) for _, label in choices_of(kind)] == [one.value.replace("_", " ").capitalize() for one in kind]


@pytest.mark.parametrize(
    ("marked", "used"),
    [
        (vocabulary.METRICS, [spec.label for spec in METRICS.values()]),
        (vocabulary.STATES, [*Status, *CandidateStatus]),
        (vocabulary.VERDICTS, Holds),
        (vocabulary.DIFFERENCES, Difference),
        (vocabulary.OBJECTIVES, Objective),
        (vocabulary.RISKS, Risk),
        (vocabulary.FINDINGS, FindingKind),
        (vocabulary.TIMING, [one.replace("_", " ") for one in Health]),
        (vocabulary.FAMILIES, Family),
        (vocabulary.UNITS, [spec.unit for spec in METRICS.values() if spec.unit not in ("", "%")]),
    ],
)
def test_every_word_of_the_agents_that_a_page_shows_is_marked(marked: Iterable[str], used: Iterable[str]) -> None:
    assert {str(one) for one in used} - set(marked) == set()
