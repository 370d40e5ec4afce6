"""The cast: one team with a person of each role, and a stranger who belongs to another team."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import dramatiq
import hypothesis
import pytest
from django.core.cache import cache
from django.utils import translation
from dramatiq.brokers.stub import StubBroker

from apps.accounts.models import Membership, Role, Team, User
from apps.ids import clear_ids
from apps.live import pokes
from apps.optimization import workers
from lathe import cache as shared_cache
from lathe import portal, readiness
from tests.door import Door, shorter_sensitivity
from tests.people import PASSWORD, made_person

# How long examples take to draw depends on what else the machine does: no test fails by a stopwatch. Examples are the
# same in every run, so a change that breaks nothing fails nothing; `--hypothesis-profile=default` draws others.
hypothesis.settings.register_profile(
    "lathe", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("lathe")

LATHE = Path(__file__).parent / "lathe"
WITH_ROWS = {"db", "transactional_db", "live_server"}
"""Fixtures that open the database."""

pytest_plugins = [
    "tests.assets.plugin",
    "tests.flushing",
    "tests.garbage",
    "tests.portal.standing",
    "tests.side_by_side",
    "tests.template_database",
]


@pytest.fixture(scope="session", autouse=True)
def _actors() -> None:
    """The stub broker takes messages only to actors that are declared in this process."""
    for module in portal.actor_modules():
        import_module(module)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Before `-m` selects: what runs on real models is for the night, and what reads no row says nothing of a database.

    Tests of `lathe` may be about Redis without a row, so those that are portable say so themselves.
    """
    for item in items:
        if item.get_closest_marker("assets"):
            item.add_marker(pytest.mark.nightly)
        if not reads_rows(item) and item.path.parent != LATHE:
            item.add_marker(pytest.mark.portable)


def reads_rows(item: pytest.Item) -> bool:
    fixtures = set(getattr(item, "fixturenames", ()))
    return bool(fixtures & WITH_ROWS) or item.get_closest_marker("django_db") is not None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test marked `gpu` is skipped by name where PyTorch sees no device; only such a test imports it for that.

    Tests of TensorFlow ask TensorFlow: no process bears both.
    """
    if item.get_closest_marker("gpu") and "tensorflow" not in sys.modules:
        import torch

        if not torch.cuda.is_available():
            pytest.skip("gpu: PyTorch sees no CUDA device here")


@pytest.fixture(autouse=True)
def _fresh_process_state() -> None:
    """What a test leaves in broker, cache (throttles count there) or process is not the next one's business.

    A worker that a test has stopped has told this process to start no more work.
    """
    for outage in (shared_cache.outage, pokes.outage):
        outage.ended()
    readiness.last_answer.forget()
    clear_ids()
    translation.deactivate()  # the language of the last request stays active in its thread
    cache.clear()
    workers.stopping.clear()
    broker = dramatiq.get_broker()
    if isinstance(broker, StubBroker):
        broker.flush_all()


@pytest.fixture
def password() -> str:
    """Everybody's."""
    return PASSWORD


@pytest.fixture
def team(db: None) -> Team:
    return Team.objects.create(name="Vision", slug="vision")


@pytest.fixture
def owner(team: Team) -> User:
    return made_person("olga@example.org", team, Role.OWNER)


@pytest.fixture
def engineer(team: Team) -> User:
    return made_person("emil@example.org", team, Role.ENGINEER)


@pytest.fixture
def viewer(team: Team) -> User:
    return made_person("vera@example.org", team, Role.VIEWER)


@pytest.fixture
def other_team(db: None) -> Team:
    return Team.objects.create(name="Speech", slug="speech")


@pytest.fixture
def stranger(other_team: Team) -> User:
    """An owner, but of another team."""
    return made_person("sven@example.org", other_team, Role.OWNER)


@pytest.fixture
def door(engineer: User, settings: Any) -> Iterator[Door]:
    """The API as an engineer who may bring code uses it, with no wait between a failure and the next try.

    Analyses look for fragile layers for a second only.
    """
    settings.PIPELINE_TIMING = {"backoff_s": 0.0, "cancel_check_s": 0.05, "write_s": 0.0}
    Membership.objects.filter(user=engineer).update(may_upload_code=True)
    with shorter_sensitivity(1.0):
        yield Door(engineer)
