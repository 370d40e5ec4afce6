"""A worker process reports itself and sweeps for as long as it lives, and leaves in order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dramatiq
import pytest
from django.db import OperationalError

from apps.optimization import housekeeping, sweeper, workers
from apps.optimization.models import Worker
from tests.optimization import crank
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _as_before(settings: Any) -> Iterator[None]:
    settings.PIPELINE_TIMING = {"heartbeat_s": 0.02, "sweep_s": 0.02}
    yield
    workers.stopping.clear()


def test_no_worker_starts_without_its_housekeeper(monkeypatch: pytest.MonkeyPatch) -> None:
    sweeps: list[int] = []
    monkeypatch.setattr(sweeper, "sweep", lambda: sweeps.append(1))
    worker = dramatiq.Worker(dramatiq.get_broker(), queues={"gpu"}, worker_threads=1)
    worker.start()
    try:
        wait_until(Worker.objects.exists)
        wait_until(lambda: len(sweeps) > 1)
        assert Worker.objects.get().queues == ["gpu"]
        assert not workers.stopping.is_set()
    finally:
        worker.stop()
    assert workers.stopping.is_set()
    assert not Worker.objects.exists()


def test_a_chore_that_breaks_is_logged_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away() -> None:
        raise OperationalError("the database is away")

    reports: list[list[str]] = []
    monkeypatch.setattr(sweeper, "sweep", away)
    monkeypatch.setattr(workers, "report", reports.append)
    keeper = housekeeping.Housekeeper(["cpu"])
    keeper.start()
    wait_until(lambda: len(reports) > 2)
    keeper.stop()
    assert "the database is away" in caplog.text


def test_the_store_is_collected_by_workers_of_the_light_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeper, "sweep", lambda: None)
    for queues, asked in ((["cpu"], []), (["default"], ["tidy_up", "collect_store"])):
        beats: list[list[str]] = []
        monkeypatch.setattr(workers, "report", beats.append)
        keeper = housekeeping.Housekeeper(queues)
        keeper.start()
        wait_until(lambda beats=beats: len(beats) > 2)  # type: ignore[misc]
        keeper.stop()
        assert [message.actor_name for message in crank.messages()] == asked
