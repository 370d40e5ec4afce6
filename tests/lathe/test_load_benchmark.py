"""The benchmark of load computes and writes down what it was told. That it runs is seen by `make load`."""

from __future__ import annotations

import pytest

from benchmarks.load.__main__ import SECTION
from benchmarks.load.report import Found, Table, percentile, with_section
from benchmarks.load.visitors import Answers
from benchmarks.truth.rows import Row
from benchmarks.uploading import bytes_of
from lathe.testing.data_sets import table_of_size

pytestmark = pytest.mark.portable


def test_a_percentile_is_a_value_that_was_seen() -> None:
    assert [percentile(range(1, 101), share) for share in (0.5, 0.95, 1.0)] == [50, 95, 100]
    assert percentile([7.0], 0.5) == 7.0


def test_pages_stand_in_a_table_by_their_name() -> None:
    answers = Answers()
    answers.took_ms["report"] += [10.0, 30.0]
    answers.took_ms["dashboard"] += [5.0]
    assert answers.table().lines == (("dashboard", "1", "5", "5", "5"), ("report", "2", "10", "30", "30"))
    assert sorted(answers.all_ms) == [5.0, 10.0, 30.0]


def test_a_part_says_how_it_was_measured_and_what_holds() -> None:
    found = str(Found("Queues", "Sessions wait.", (Row("all end", "50", "49", False),), (Table(("a",), (("1",),)),)))
    assert found.startswith("### Queues\n\nSessions wait.\n\n| claim |")
    assert "| all end | 50 | 49 | **NO** |" in found
    assert found.endswith("| a |\n| --- |\n| 1 |")


def test_the_report_takes_the_place_of_the_last_one() -> None:
    document = "# Scale\n\n## Measured under load\n\nold\n\n### Queues\n\n## Many machines\n\nkept\n"
    written = with_section(document, SECTION, "new\n")
    assert written == "# Scale\n\n## Measured under load\n\nnew\n\n## Many machines\n\nkept\n"
    with pytest.raises(ValueError, match="no section"):
        with_section("# Other\n", SECTION, "new\n")


def test_a_file_of_any_size_is_made_while_it_is_sent() -> None:
    assert bytes_of("300MiB") == 300 * 2**20
    made = b"".join(table_of_size(100_000))
    assert (len(made), made[:2]) == (100_000, b"a,")
