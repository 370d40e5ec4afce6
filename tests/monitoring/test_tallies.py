"""Stored counts: nothing rolled back is counted, nothing is lost between threads, and each event counts once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import OperationalError, connection, connections, transaction

from apps.monitoring import tallies
from apps.monitoring.models import Tally

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def family(monkeypatch: pytest.MonkeyPatch) -> tallies.Family:
    monkeypatch.setattr(tallies, "_families", {})
    return tallies.Family("lathe_tests", "For tests.", {"kind": ("a", "b")}, bounds=(1.0, 10.0))


def samples() -> dict[tuple[Any, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for metric in tallies.metrics()
        for sample in metric.samples
    }


def test_a_series_exists_before_anything_happened(family):
    assert samples()["lathe_tests_count", "b"] == 0
    assert samples()["lathe_tests_bucket", "a", "+Inf"] == 0


def test_durations_fall_into_the_buckets_of_a_histogram(family):
    for seconds in (0.5, 1.0, 5.0, 60.0):
        family.count("a", measured=seconds)
    found = samples()
    buckets = [found["lathe_tests_bucket", "a", bound] for bound in ("1.0", "10.0", "+Inf")]
    assert buckets == [2, 3, 4]
    assert (found["lathe_tests_count", "a"], found["lathe_tests_sum", "a"]) == (4, 66.5)


def test_what_is_rolled_back_is_not_counted(family):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        family.count("a")
        _ = 1 / 0
    assert Tally.objects.count() == 0
    with transaction.atomic():
        family.count("a")
        assert Tally.objects.count() == 0
    assert Tally.objects.get().events == 1


def test_events_of_many_threads_are_all_counted(family):
    def count(_: int) -> None:
        family.count("a", measured=2.0)
        connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count, range(20)))
    assert samples()["lathe_tests_count", "a"] == 20
    assert samples()["lathe_tests_sum", "a"] == 40


def test_a_count_that_fails_harms_nothing(family, caplog):
    def away(*_: object) -> None:
        raise OperationalError("the database has gone")

    with connection.execute_wrapper(away):
        family.count("a")
    assert "the database has gone" in caplog.text


def test_a_label_that_was_not_foreseen_is_shown_as_well(family):
    family.count("c")
    assert samples()["lathe_tests_count", "c"] == 1


def test_a_counter_can_have_a_sum(monkeypatch):
    monkeypatch.setattr(tallies, "_families", {})
    files = tallies.Family("lathe_files", "Files.", {"way": ("x",)}, sums="lathe_file_bytes", sums_help="Bytes.")
    files.count("x", measured=100)
    files.count("x", measured=20)
    assert (samples()["lathe_files_total", "x"], samples()["lathe_file_bytes_total", "x"]) == (2, 120)
