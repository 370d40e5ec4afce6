"""Markdown of members within a card: it can neither imitate what the card says itself, nor hide it."""

from __future__ import annotations

import pytest

from apps.agents.packaging.nested_markdown import nested
from apps.markdown import safe_html


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# Use\n\ntext", "### Use\n\ntext"),
        ("##### Deep", "###### Deep"),
        ("#hashtag", "#hashtag"),
        ("What was measured\n---\n99 %", "#### What was measured\n99 %"),
        ("What was measured\n===", "### What was measured"),
        ("a\n\n---\n\nb", "a\n\n---\n\nb"),
        ("- one\n---", "- one\n---"),
        ("```\nx\n```\n---", "```\nx\n```\n---"),
        ("```sh\n# a comment\n```", "```sh\n# a comment\n```"),
        ("before <!-- hidden", "before \\<!-- hidden"),
        ("<details>", "\\<details>"),
        ("`<b>` and <https://example.org> and \\<b>", "`<b>` and <https://example.org> and \\<b>"),
        ("a < b", "a < b"),
        ("~~~\nopen", "~~~\nopen\n~~~"),
        ("````\n```\n# x", "````\n```\n# x\n````"),
    ],
)
def test_headings_are_lowered_tags_are_text_and_code_is_closed(text: str, expected: str) -> None:
    assert nested(text, 2) == expected


@pytest.mark.parametrize(
    "text", ["# Limits", "Limits\n===", "Limits\n---", "```\nopen", "~~~ x\n```", "<!-- ", "<pre>", "<script>", "> ```"]
)
def test_what_follows_is_still_a_heading_of_its_own(text: str) -> None:
    page = safe_html(f"{nested(text, 2)}\n\n## What was measured\n")
    assert page.count("<h4>") == 1, page
    assert "<h4>What was measured</h4>" in page
    assert "<h3>" not in page
