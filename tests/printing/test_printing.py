"""HTML of the templates becomes a PDF whose text, outline, links and properties say the same."""

from __future__ import annotations

from io import BytesIO

import pytest
from pypdf import PdfReader

from apps.printing.binding import pdf_of
from apps.printing.sheet import TONES
from lathe.env import PROJECT_ROOT

HEAD = """<!doctype html><html lang="de"><head><meta charset="utf-8"><title>Bericht über ≤ net</title>
<meta name="subject" content="4,8× schneller"><meta name="footer" content="Lathe · net"><meta name="numbered"
content="Seite {page} von {pages}"><meta name="date" content="2026-11-03T12:00:00+01:00"></head><body>"""
TALL = "<p>" + "</p><p>".join(f"Zeile {number}" for number in range(120)) + "</p>"


def printed(body: str) -> PdfReader:
    return PdfReader(BytesIO(pdf_of(f"{HEAD}{body}</body></html>")))


def text_of(pdf: PdfReader) -> str:
    return " ".join(" ".join(page.extract_text() for page in pdf.pages).split())


def outline(entries: list[object], depth: int = 0) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    for one in entries:
        found += outline(one, depth + 1) if isinstance(one, list) else [(depth, one.title)]  # type: ignore[attr-defined]
    return found


def test_its_properties_are_those_that_the_head_names() -> None:
    pdf = printed("<h1>Bericht</h1>")
    assert pdf.metadata is not None
    assert (pdf.metadata.title, pdf.metadata.subject) == ("Bericht über ≤ net", "4,8× schneller")
    assert str(pdf.metadata.creation_date) == "2026-11-03 11:00:00+00:00"
    assert pdf.root_object["/Lang"] == "de"
    assert pdf.root_object["/ViewerPreferences"]["/DisplayDocTitle"] == True  # noqa: E712  a BooleanObject


def test_equal_html_makes_equal_bytes() -> None:
    html = f"{HEAD}<h1>Bericht</h1>{TALL}</body></html>"
    assert pdf_of(html) == pdf_of(html)


def test_every_page_is_numbered_and_says_of_what_it_is() -> None:
    pdf = printed(TALL)
    assert len(pdf.pages) == 3
    for number, page in enumerate(pdf.pages, start=1):
        text = " ".join(page.extract_text().split())
        assert f"Seite {number} von 3" in text
        assert "Lathe · net" in text


def test_headings_are_the_outline_and_skip_no_level() -> None:
    pdf = printed("<h1>A</h1><section><h3>deep</h3></section><section><h2>B</h2><h3>C</h3></section>")
    assert outline(pdf.outline) == [(0, "A"), (1, "deep"), (1, "B"), (2, "C")]


@pytest.mark.parametrize("text", ["≤ ≥ × − – · ² ± → µ ∅ „so“", "größer, Straße, ÄÖÜ", "моделѝ", "μοντέλο", "✓ ■"])
def test_it_has_the_characters_of_its_languages(text: str) -> None:
    assert text in text_of(printed(f"<p>{text}</p>"))


def test_a_character_that_no_font_has_is_spelled_out() -> None:
    assert "net U+6A21 1" in text_of(printed("<p>net 模 1</p>"))


def test_markup_in_names_is_text() -> None:
    assert "a <b>&amp; c" in text_of(printed("<p>a &lt;b&gt;&amp;amp; c</p>"))


def test_only_what_is_for_paper_is_printed() -> None:
    body = """<p>seen</p><form><button>no</button></form><p class="screen-only">no</p><table><caption
    class="visually-hidden">no</caption><tbody><tr><td>cell</td></tr></tbody></table><a href="/x">word</a>"""
    assert text_of(printed(body)) == "Lathe · net Seite 1 von 1 seen cell word"


def test_links_lead_out_or_to_a_place_that_is_there() -> None:
    links = '<a href="#here">to it</a> <a href="#gone">lost</a> <a href="https://lathe.example.org/">out</a>'
    pdf = printed(f'<p>{links}</p><div id="here">x</div>')
    text = text_of(pdf)
    assert "to it" in text
    assert "lost" not in text
    kinds = [one.get_object().get("/A", {}).get("/URI") for one in pdf.pages[0]["/Annots"]]
    assert kinds == [None, "https://lathe.example.org/"]


def test_a_head_of_several_rows_is_repeated_on_every_page() -> None:
    rows = "".join(f"<tr><th>row {number}</th><td class='num'>1</td><td>2</td></tr>" for number in range(120))
    head = "<tr><th rowspan='2'>Name</th><th colspan='2'>Gain</th></tr><tr><th>said</th><th>seen</th></tr>"
    pdf = printed(f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>")
    assert len(pdf.pages) > 1
    assert all("Gain" in page.extract_text() and "seen" in page.extract_text() for page in pdf.pages)


@pytest.mark.parametrize(
    "body",
    [
        "<table><tbody><tr><th>a</th><td>{long}</td></tr></tbody></table>",
        "<dl><dt>a</dt><dd>{long}</dd></dl>",
        "<p class='notice notice-bad'>{long}</p>",
        "<h2>{long}</h2>",
        "<ul><li>{long}</li></ul>",
    ],
)
def test_a_text_longer_than_a_page_goes_on_over_the_next(body: str) -> None:
    pdf = printed(body.format(long="word " * 3000))
    assert text_of(pdf).count("word") == 3000


def test_a_word_that_is_wider_than_its_column_is_broken() -> None:
    row = "".join(f"<td>{'x' * 300}</td>" for _ in range(8))
    assert "".join(text_of(printed(f"<table><tbody><tr>{row}</tr></tbody></table>")).split()).count("x") == 2400


@pytest.mark.parametrize(
    "bad", ["<p><b>x</p>", "<p>x", "<figure><div class='curves-picture'><svg></svg><svg><filter/></svg></div></figure>"]
)
def test_what_it_does_not_know_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match=r"filter|closed|open"):
        printed(bad)


def test_a_head_that_says_too_little_is_refused() -> None:
    with pytest.raises(ValueError, match="date"):
        pdf_of("<html lang='en'><head><title>x</title></head><body></body></html>")


def test_the_colours_are_those_of_the_stylesheet() -> None:
    css = (PROJECT_ROOT / "static" / "lathe.css").read_text()
    for name, tone in TONES.items():
        assert f"--{name}: light-dark({tone.ink}," in css
        assert f"--{name}-soft: light-dark({tone.ground}," in css
