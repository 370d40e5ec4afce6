"""The catalogue of errors: what programs rely on, and what people read."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest
from django.core.management import call_command

from apps.errors import UserError
from lathe.errors import request_problems
from lathe.management.commands.errors import catalogue, page, readable

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "errors.md"
ERRORS = catalogue()
LISTS_OF_CODES = {"test_errors.py"}
"""Tests that pin all codes of an app; they exercise none."""
WHOLE_SENTENCES = {"reason", "summary"}
"""What is filled in at the end of a sentence only where it is one itself."""


def named(error: type[UserError]) -> str:
    return error.code


def test_the_page_is_what_the_classes_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: manage.py errors --write docs/errors.md"


def test_the_page_is_written_by_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("errors", "--write", str(tmp_path / "errors.md"))
    assert (tmp_path / "errors.md").read_text(encoding="utf-8") == page()
    capsys.readouterr()
    call_command("errors")
    assert capsys.readouterr().out == page()


PRODUCT_NAMES = ("PyTorch", "TensorFlow", "SavedModel", "saved_model.pb")
"""Written as their makers write them."""


def test_a_code_is_used_once() -> None:
    codes = [error.code for error in ERRORS] + [problem.code for problem in request_problems()]
    assert sorted(codes) == sorted(set(codes))


def test_the_page_lists_every_error_once_in_order() -> None:
    listed = re.findall(r"^\| `([a-z_.]+)` \|", page().partition("## Specific requests")[2], flags=re.MULTILINE)
    assert listed == sorted(error.code for error in ERRORS)
    assert len(listed) > 100


@pytest.mark.parametrize("error", ERRORS, ids=named)
def test_a_code_and_its_status_are_well_formed(error: type[UserError]) -> None:
    assert re.fullmatch(r"[a-z]+\.[a-z_]+", error.code)
    assert 400 <= error.status < 600
    assert ".errors" in error.__module__, f"{error.__name__} belongs into the errors of its app"


@pytest.mark.parametrize("error", ERRORS, ids=named)
def test_a_sentence_is_one_for_people(error: type[UserError]) -> None:
    fields = {name for _, name, _, _ in string.Formatter().parse(error.sentence) if name}
    ends_itself = any(error.sentence.endswith(f"{{{name}}}") for name in fields & WHOLE_SENTENCES)
    assert error.sentence.endswith(".") or ends_itself
    said = re.sub(r"\*[^*]+\*", "", readable(error.sentence))
    for name in PRODUCT_NAMES:
        said = said.replace(name, "")
    assert not re.search(r"[a-z]_[a-z]|[a-z][A-Z][a-z]|Exception|Traceback|\bNone\b|\bapps\.", said), said


def test_every_code_is_exercised_by_a_test() -> None:
    """A test names the class or the code; one that merely lists all codes does not count."""
    tests = [
        path for path in (ROOT / "tests").rglob("test_*.py") if path.name not in LISTS_OF_CODES | {Path(__file__).name}
    ]
    written = "\n".join(path.read_text(encoding="utf-8") for path in tests)
    words, quoted = set(re.findall(r"\w+", written)), set(re.findall(r'"([a-z]+\.[a-z_]+)"', written))
    assert not [error.code for error in ERRORS if error.__name__ not in words and error.code not in quoted]
