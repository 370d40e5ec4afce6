"""The page about a run of the tests says what the reports say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import summary

pytestmark = pytest.mark.portable

JUNIT = """<testsuites><testsuite>
<testcase classname="tests.models.test_pages.TestLists" name="test_slow" time="7.5"/>
<testcase classname="tests.models.test_pages" name="test_broken" time="0.5">
<failure message="assert 1 == 2&#10;more">trace</failure></testcase>
<testcase classname="tests.lathe.test_away" name="test_skipped" time="0"><skipped message="no Redis | here"/></testcase>
</testsuite></testsuites>"""


@pytest.fixture
def page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    (tmp_path / "most.xml").write_text(JUNIT)
    files = {"apps/models/views.py": (40, 30), "apps/accounts/forms.py": (20, 5), "apps/short.py": (3, 0)}
    report = {
        "files": {name: {"summary": counted(lines, ran)} for name, (lines, ran) in files.items()},
        "totals": counted(63, 35),
    }
    (tmp_path / summary.COVERAGE).write_text(json.dumps(report))
    summary.main(str(tmp_path))
    written = (tmp_path / "summary.md").read_text()
    assert capsys.readouterr().out.strip() == written.strip()
    return written


def counted(lines: int, ran: int) -> dict[str, float]:
    """As coverage.py counts a file."""
    share = 100 * ran / lines
    return {"num_statements": lines, "covered_lines": ran, "missing_lines": lines - ran, "percent_covered": share}


def test_what_broke_what_was_slow_and_what_was_skipped_is_listed(page: str) -> None:
    assert "| most | 1 | 1 | 0 | 1 | 8 s |" in page
    assert "- `tests/models/test_pages.py::test_broken`: assert 1 == 2\n" in page
    assert "| 7.5 | `tests/models/test_pages.py::test_slow` |" in page
    assert r"| 1 | no Redis \| here |" in page


def test_the_least_covered_files_come_first_and_short_ones_are_left_out(page: str) -> None:
    rows = page.split("## Lines that ran")[1]
    assert "35 of 63: 55.6 %." in rows
    assert rows.index("| 25 % | 15 | `apps/accounts/forms.py` |") < rows.index("| 75 % | 10 | `apps/models/views.py` |")
    assert "apps/short.py" not in rows


def test_without_a_report_of_lines_the_page_does_without(tmp_path: Path) -> None:
    (tmp_path / "most.xml").write_text(JUNIT)
    summary.main(str(tmp_path))
    assert "Lines that ran" not in (tmp_path / "summary.md").read_text()


def test_without_any_report_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="Run `make test` first"):
        summary.main(str(tmp_path))


def test_the_run_before_a_change_lands_leaves_the_report_that_the_page_reads() -> None:
    script = (Path(summary.__file__).parents[1] / ".ci" / "run").read_text()
    assert f"--cov-report=json:build/tests/{summary.COVERAGE}" in script
