"""The formats that documents list are those of `FORMATS`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from apps.agents.contracts.formats import FORMATS, TORCH_FORMATS
from lathe.management.commands.formats import HEAD, table, with_table

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "user-guide.md"


def first_column(page: Path, head: str) -> list[str]:
    """The first cells of the rows of the table that begins with `head`."""
    _, rows = page.read_text(encoding="utf-8").split(f"\n{head}", 1)
    return re.findall(r"^\| (.*?) \|", rows.split("\n\n")[0], flags=re.MULTILINE)


def test_the_guide_has_the_table_that_the_command_writes() -> None:
    page = GUIDE.read_text(encoding="utf-8")
    assert page == with_table(page), "run: manage.py formats --write docs/user-guide.md"
    assert first_column(GUIDE, HEAD) == [spec.upload for spec in FORMATS.values()]


def test_an_old_table_is_replaced_and_the_rest_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{HEAD}\n|---|---|\n| an old one | old |\n\nafter\n")
    call_command("formats", "--write", str(page))
    assert page.read_text() == f"before\n\n{table()}\nafter\n"
    assert f"{len(FORMATS)} formats" in capsys.readouterr().out


@pytest.mark.parametrize(("tables", "counted"), [(0, "has 0 tables"), (2, "has 2 tables")])
def test_a_page_without_one_such_table_stays_as_it_is(tmp_path: Path, tables: int, counted: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{HEAD}\n|---|---|\n\n" * tables + "text\n")
    before = page.read_text()
    with pytest.raises(CommandError, match=counted):
        call_command("formats", "--write", str(page))
    assert page.read_text() == before


def test_the_readme_names_each_format_once() -> None:
    named = [
        name for cell in first_column(ROOT / "README.md", "| you upload | Lathe tries |") for name in cell.split(", ")
    ]
    assert sorted(named) == sorted(spec.label for spec in FORMATS.values())


def test_the_page_about_pytorch_has_a_row_for_each_of_its_formats() -> None:
    assert len(first_column(ROOT / "docs" / "formats.md", "| if you have | save |")) == len(TORCH_FORMATS)
