"""Markdown of members becomes HTML that can do nothing but be read."""

from __future__ import annotations

import pytest

from apps.markdown import safe_html

pytestmark = pytest.mark.portable


def test_markdown_is_rendered_below_the_page_s_headings() -> None:
    html = safe_html("# Use\n\n**Only** for [tests](https://example.org/x).\n\n| a | b |\n|---|--:|\n| 1 | 2 |\n")
    assert "<h3>Use</h3>" in html
    assert "<strong>Only</strong>" in html
    assert '<a href="https://example.org/x" rel="noopener noreferrer nofollow">tests</a>' in html
    assert "<td>2</td>" in html
    assert "<h6>deep</h6>" in safe_html("###### deep")


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "![picture](https://tracker.example.org/p.png)",
        "[press](javascript:alert(1))",
        "[press](data:text/html;base64,PHNjcmlwdD4=)",
        '<https://example.org/" onmouseover=alert(1)>',
        "<iframe src='https://example.org'></iframe>",
        "<style>body { display: none }</style>",
        "<form action='/logout/'><button>Go</button></form>",
        "`</code><script>alert(1)</script>`",
        "| <svg onload=alert(1)> |\n|---|\n| x |",
    ],
)
def test_nothing_of_it_runs_or_asks_another_host(text: str) -> None:
    html = safe_html(text).lower()
    tags = [part.split(">")[0] for part in html.split("<")[1:]]
    names = {tag.strip("/ ").split(" ")[0] for tag in tags}
    assert names <= {"p", "a", "code", "table", "thead", "tbody", "tr", "th", "td"}
    assert not any("javascript:" in tag or "data:" in tag or " on" in tag or "src" in tag for tag in tags)
