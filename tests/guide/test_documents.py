"""The documentation as pages: every link leads somewhere, every page has its help."""

from __future__ import annotations

import re
from html import unescape

import pytest
from django.test import Client
from django.urls import get_resolver, reverse

from apps.accounts.errors import NoTeam
from apps.accounts.models import User
from apps.agents.techniques.catalogue import BUILTIN, AddedTechnique, ParameterSpec
from apps.guide.added_techniques import added_chapter
from apps.guide.documents import attachments, documents, folder, topics
from apps.guide.help import CHAPTERS, help_address
from apps.guide.markdown import html, parsed, sections
from apps.guide.templatetags.guide import error_code
from lathe.management.commands.errors import catalogue
from tests.portal.test_access import PAGE_DOORS

pytestmark = [pytest.mark.django_db, pytest.mark.portable]


def ids(body: str) -> list[str]:
    return re.findall(r' id="([^"]*)"', body)


def test_every_document_stands_in_one_topic() -> None:
    listed = [document.name for _, found in topics() for document in found]
    assert sorted(listed) == sorted(path.stem for path in folder().glob("*.md"))


@pytest.mark.parametrize("name", sorted(path.stem for path in folder().glob("*.md")))
def test_every_link_of_a_document_leads_somewhere(name: str) -> None:
    body = documents()[name].body
    assert len(ids(body)) == len(set(ids(body)))
    for target in map(unescape, re.findall(r'(?:href|src)="([^"]*)"', body)):
        address, _, anchor = target.partition("#")
        if address.startswith(("http://", "https://")):
            continue
        if address.startswith("/docs/files/"):
            assert address.removeprefix("/docs/files/") in attachments()
            continue
        aim = documents()[address.removeprefix("/docs/").strip("/")] if address else documents()[name]
        assert not anchor or anchor in ids(aim.body), target


def test_no_anchor_of_a_document_is_an_id_of_the_page_around_it(client: Client, viewer: User) -> None:
    client.force_login(viewer)
    for name, document in documents().items():
        page = client.get(reverse("guide:document", args=[name])).content.decode()
        around = ids(page.replace(document.body, ""))
        assert {"content", "palette"} <= set(around)
        assert not {*around} & {*ids(document.body)}, name


def test_what_is_only_in_the_repository_is_no_link() -> None:
    written = html(parsed("# Title\n\nSee [the example](../examples/acme) and [this](a.md).", {"a.md": "/a/"}.get))
    assert written == '<p>See the example and <a href="/a/">this</a>.</p>\n'


def test_markup_of_others_is_text() -> None:
    assert "<script" not in html(parsed("# Title\n\n<script>alert(1)</script>\n\n[x](javascript:alert(1))", str))


def test_a_document_is_cut_at_its_headings_and_a_table_at_its_codes() -> None:
    source = (
        "# One\n\nfirst\n\n## Two `2`\n\nsecond\n\n| code | text |\n|---|---|\n| `a.b` | lost |\n| plain | kept |\n"
    )
    found = [(section.anchor, section.title, section.text) for section in sections(parsed(source, str))]
    assert found == [("one", "One", "first"), ("a.b", "a.b", "lost"), ("two-2", "Two 2", "second code text plain kept")]


def test_a_document_and_its_picture_are_pages(client: Client, viewer: User) -> None:
    client.force_login(viewer)
    page = client.get(reverse("guide:document", args=["user-guide"])).content.decode()
    assert 'src="/docs/files/images/plan.png"' in page
    picture = client.get("/docs/files/images/plan.png")
    assert picture["Content-Type"] == "image/png"
    assert b"".join(picture.streaming_content).startswith(b"\x89PNG")


@pytest.mark.parametrize("path", ["/docs/nothing/", "/docs/files/user-guide.md", "/docs/files/../manage.py"])
def test_nothing_else_is_served(client: Client, viewer: User, path: str) -> None:
    client.force_login(viewer)
    assert client.get(path).status_code == 404


def test_every_error_code_has_its_place() -> None:
    anchors = set(ids(documents()["errors"].body))
    assert {error.code for error in catalogue()} <= anchors


def test_an_error_page_links_to_its_code(client: Client, db: None) -> None:
    client.force_login(User.objects.create_user("nobody@example.org"))
    page = client.get("/models/upload/")
    assert page.status_code == NoTeam.status
    assert f'href="/docs/errors/#{NoTeam.code}"' in page.content.decode()


@pytest.mark.parametrize("chapter", sorted(set(CHAPTERS.values())))
def test_help_leads_to_a_chapter(chapter: str) -> None:
    name, _, anchor = chapter.partition("#")
    assert not anchor or anchor in ids(documents()[name].body)


@pytest.mark.parametrize(
    ("page", "chapter"),
    [
        ("optimization:compare", "user-guide/#compare"),
        ("optimization:audit", "user-guide/#audit-trail"),
        ("optimization:session-compare", "user-guide/#measure-two-versions-in-turns"),
        ("models:approval-list", "user-guide/#members-and-service-accounts"),
        ("accounts:team", "user-guide/#members-and-service-accounts"),
        ("accounts:service-accounts", "user-guide/#members-and-service-accounts"),
        ("accounts:logins", "user-guide/#log-in"),
        ("mfa_index", "user-guide/#log-in"),
        ("account_change_password", "user-guide/#log-in"),
    ],
)
def test_help_leads_to_the_chapter_about_the_page(page: str, chapter: str) -> None:
    assert help_address(page) == f"/docs/{chapter}"


def test_every_page_has_its_help() -> None:
    """Of the pages in the table of who may enter, those of the documentation itself have none."""
    without = {name for name in PAGE_DOORS if not help_address(name)}
    assert {name.partition(":")[0] for name in without} == {"guide"}


@pytest.mark.parametrize(("code", "linked"), [(NoTeam.code, True), ("no.such_code", False), ("<b>", False)])
def test_a_code_links_to_what_it_means(code: str, linked: bool) -> None:
    html = error_code(code)
    assert (f'href="/docs/errors/#{code}"' in html) is linked
    assert "<b>" not in html


def test_a_page_has_a_link_to_its_help(client: Client, viewer: User) -> None:
    client.force_login(viewer)
    assert 'href="/docs/user-guide/#set-the-criteria"' in client.get("/criteria/").content.decode()
    assert help_address("guide:documents") == ""
    prefixes = [name for name in get_resolver().namespace_dict if name not in ("api", "admin", "guide")]
    assert {name for name in prefixes if help_address(f"{name}:")} == {
        "accounts",
        "models",
        "notifications",
        "operations",
        "optimization",
    }


def test_a_chapter_describes_the_techniques_of_installed_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    assert added_chapter() == ""
    spec = BUILTIN[0].model_copy(
        update={
            "label": "Twin *one*",
            "summary": "Less <b>than</b> half | of it.",
            "reference": "See (https://a.example/b_c), page 2.",
            "parameters": (
                ParameterSpec(name="rate", kind="number", default=0.5, minimum=0.0, search=(0.25, 0.5), help="A | B."),
                ParameterSpec(name="fast", kind="boolean", default=True, help="Or not."),
            ),
        }
    )
    added = AddedTechnique(package="acme_twin", version="2.0", spec=spec)
    monkeypatch.setattr("apps.guide.added_techniques.added_techniques", lambda: (added,))
    body = html(parsed(f"# Title{added_chapter()}", str))
    assert f">Twin *one* (<code>{spec.name}</code>)</h3>" in body
    assert "Less &lt;b&gt;than&lt;/b&gt; half | of it." in body
    assert 'See (<a href="https://a.example/b_c">https://a.example/b_c</a>), page 2.' in body
    assert "<td>a number from 0.0</td>\n<td>0.5</td>\n<td>0.25, 0.5</td>\n<td>A | B.</td>" in body
    assert "<td>yes or no</td>\n<td>yes</td>\n<td>only the default</td>" in body
