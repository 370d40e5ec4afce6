"""The report as a PDF: on the page, by the API and by a public link; in the reader's language; however long."""

from __future__ import annotations

import subprocess
from io import BytesIO
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from django.utils import translation
from pypdf import PdfReader

from apps.accounts.models import User
from apps.optimization import services
from apps.optimization.models import OptimizationSession
from apps.optimization.services import printing
from apps.optimization.services.printing import MOST_CANDIDATES, MOST_DETAILED, report_pdf
from tests.portal import world
from tests.portal.world import World

pytestmark = pytest.mark.django_db


@pytest.fixture
def everything(team: Any, owner: User) -> World:
    return world.build(team, owner)


def read(content: bytes) -> str:
    return " ".join(" ".join(page.extract_text() for page in PdfReader(BytesIO(content)).pages).split())


def test_the_page_offers_it_and_it_says_what_the_page_says(client: Client, everything: World, owner: User) -> None:
    client.force_login(owner)
    session = everything.session
    address = reverse("optimization:report-pdf", args=[session.pk])
    page = client.get(reverse("optimization:report", args=[session.pk])).content.decode()
    assert f'href="{address}" download' in page
    answer = client.get(address)
    assert answer["Content-Type"] == "application/pdf"
    assert answer["Content-Disposition"] == f'attachment; filename="report-resnet-v1-{session.pk.hex[:8]}.pdf"'
    text = read(answer.content)
    parts = ["Report on resnet v1", str(session.pk), "Static int8", "4.64 to 4.96", "Constraints", "Front", "Reasoning"]
    parts += ["Layers of the original", "Where these numbers come from", "test images", "UTC", "Page 1 of"]
    parts.append(f"{settings.LATHE.base_url}{reverse('optimization:report', args=[session.pk])}")
    assert [part for part in parts if part.replace(" ", "") not in text.replace(" ", "")] == []


def test_the_same_report_makes_the_same_bytes(everything: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made = services.report(everything.session)
    first = report_pdf(made)
    monkeypatch.setattr(printing.cache, "get", lambda key: None)
    assert report_pdf(made) == first


def test_one_that_was_made_is_not_made_again(everything: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made = services.report(everything.session)
    first = report_pdf(made)
    monkeypatch.setattr(printing, "_printed", lambda html: pytest.fail("made again"))
    assert report_pdf(made) == first


def test_it_is_in_the_language_and_the_time_zone_of_who_asks(client: Client, everything: World, owner: User) -> None:
    User.objects.filter(pk=owner.pk).update(language="de", time_zone="Asia/Tokyo")
    client.force_login(User.objects.get(pk=owner.pk))
    for address in (
        f"/sessions/{everything.session.pk}/report.pdf",
        f"/api/v1/sessions/{everything.session.pk}/report/pdf/",
    ):
        answer = client.get(address)
        text = read(answer.content)
        assert "Bericht zu resnet v1" in text
        assert "Asia/Tokyo" in text
        assert "Seite 1 von" in text
        assert PdfReader(BytesIO(answer.content)).root_object["/Lang"] == "de"


def test_it_is_of_an_earlier_decision_if_that_is_asked_for(client: Client, everything: World, owner: User) -> None:
    client.force_login(owner)
    answer = client.get(f"/api/v1/sessions/{everything.session.pk}/report/pdf/", {"decision": 7})
    assert (answer.status_code, answer.json()["code"]) == (404, "session.decision_unknown")


def test_there_is_none_before_the_verdict(client: Client, everything: World, owner: User) -> None:
    client.force_login(owner)
    OptimizationSession.objects.filter(pk=everything.session.pk).update(verdict=None, status="running")
    answer = client.get(f"/api/v1/sessions/{everything.session.pk}/report/pdf/")
    assert (answer.status_code, answer.json()["code"]) == (404, "session.no_report")


def test_a_public_link_has_it_without_people_and_without_a_way_back(
    client: Client, everything: World, owner: User
) -> None:
    _, token = services.share_report(everything.session, owner, 7)
    address = reverse("optimization:shared-report-pdf", args=[token])
    page = client.get(reverse("optimization:shared-report", args=[token])).content.decode()
    assert f'href="{address}" download' in page
    answer = client.get(address)
    text = read(answer.content)
    assert "Report on resnet v1" in text
    assert owner.email not in text
    assert "://" not in text
    assert token not in text
    assert answer["Cache-Control"] == "no-store"
    assert "noindex" in answer["X-Robots-Tag"]


def test_a_link_that_opens_nothing_prints_nothing(client: Client) -> None:
    assert client.get(reverse("optimization:shared-report-pdf", args=["x" * 43])).status_code == 404


def test_a_long_session_is_shortened_and_says_so(everything: World) -> None:
    made = services.report(everything.session)
    one = made.candidates[0]
    more = [one.model_copy(update={"key": f"c{number:03}", "status": "rejected"}) for number in range(2, 201)]
    long = made.model_copy(update={"candidates": (*more, one), "decisions": made.decisions * 500})
    pdf = report_pdf(long)
    text = read(pdf)
    assert f"{MOST_CANDIDATES} of 200 candidates are shown" in text
    assert f"All numbers of {MOST_DETAILED} of the {MOST_CANDIDATES - 1} other candidates" in text
    assert "The first 100 of 500 decisions" in text
    assert f"Evidence {one.key}" in text
    assert text.count("Constraint Verdict Limit") == MOST_DETAILED + 1
    assert len(PdfReader(BytesIO(pdf)).pages) < 40


def test_one_that_is_not_made_in_time_is_refused_and_the_next_one_made(
    everything: World, client: Client, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.force_login(owner)
    address = f"/api/v1/sessions/{everything.session.pk}/report/pdf/"
    with monkeypatch.context() as patched:
        patched.setattr(printing, "MOST_S", 0.01)
        answer = client.get(address)
        assert (answer.status_code, answer.json()["code"]) == (503, "report.not_printed")
    assert client.get(address).status_code == 200


def test_a_template_that_cannot_be_printed_is_an_error_and_no_report(
    everything: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(printing, "render_to_string", lambda *_: "<p>")
    with pytest.raises(RuntimeError, match="never closed"):
        report_pdf(services.report(everything.session))


def test_hostile_names_are_only_names(everything: World) -> None:
    made = services.report(everything.session)
    hostile = made.model_copy(update={"model": '</p><b>模 & "x" {pages} <font size="999">', "dataset": "<!--"})
    with translation.override("en"):
        text = read(report_pdf(hostile))
    assert 'U+6A21 & "x" {pages} <font size="999">' in text
    assert "<!--" in text


def test_the_process_that_prints_is_not_given_the_secrets(everything: World, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        seen.update(options["env"])
        return subprocess.CompletedProcess(command, 0, b"%PDF-", b"")

    monkeypatch.setattr(printing.subprocess, "run", run)
    report_pdf(services.report(everything.session), "https://lathe.example.org/another")
    assert seen.keys() == {"PYTHONPATH", "PYTHONHASHSEED", "LANG"}
