"""How fast a team's models ran on a machine: what the preview knows of a model's runs before its analysis."""

from __future__ import annotations

import pytest

from apps.accounts.models import Team, User
from apps.agents.contracts.criteria import Criteria, Target
from apps.models.models import DataSet, ModelVersion
from apps.optimization import memory, services
from apps.optimization.models import OptimizationSession, SessionFingerprint, Worker
from tests.optimization import material
from tests.optimization.conftest import make_dataset, make_version
from tests.optimization.test_memory import ended

pytestmark = pytest.mark.django_db

P50_MS = material.ANALYSIS.latency.p50_ms


@pytest.fixture
def measured(worker: Worker, version: ModelVersion, dataset: DataSet) -> OptimizationSession:
    """A session that was timed on the living worker's machine."""
    session = ended(version, dataset)
    memory.remember(session)
    return session


def forward_ms(version: ModelVersion, dataset: DataSet, criteria: Criteria | None = None) -> float | None:
    known = memory.known_before(version, dataset, criteria or Criteria()).throughput
    return known and 1000 * known.forward_s(version.metadata.summary.parameters)


def test_a_network_that_was_timed_here_takes_as_long_again(
    measured: OptimizationSession, version: ModelVersion, dataset: DataSet
) -> None:
    assert forward_ms(version, dataset) == pytest.approx(P50_MS)
    plan = services.session_preview(version, dataset, Criteria()).plan
    assert "timed by 1 session on this network and machine" in (plan.candidates[0].predicted.minutes_basis or "")


def test_a_similar_network_takes_time_in_proportion_to_its_size(
    measured: OptimizationSession, version: ModelVersion, dataset: DataSet
) -> None:
    row = SessionFingerprint.objects.get()
    half = row.body["parameters"] // 2
    SessionFingerprint.objects.update(body={**row.body, "parameters": half}, parameters=half)
    assert forward_ms(version, dataset) == pytest.approx(2 * P50_MS, rel=0.01)
    known = memory.known_before(version, dataset, Criteria()).throughput
    assert known is not None
    assert "million parameters a second, measured by 1 session on similar" in known.basis


def test_nothing_is_concluded_from_another_machine_load_team_or_kind_of_network(
    measured: OptimizationSession, version: ModelVersion, dataset: DataSet
) -> None:
    assert forward_ms(version, dataset, Criteria(target=Target(threads=2))) is None
    row = SessionFingerprint.objects.get()
    for change in ({"hostname": "another"}, {"operators": {"LSTM": 4}, "network": "recurrent networks"}):
        SessionFingerprint.objects.update(body={**row.body, **change})
        assert forward_ms(version, dataset) is None, change
    large = row.parameters * 11
    SessionFingerprint.objects.update(body={**row.body, "parameters": large}, parameters=large)
    assert forward_ms(version, dataset) is None, "it is too large to be compared"


def test_another_teams_sessions_do_not_tell(measured: OptimizationSession, other_team: Team, stranger: User) -> None:
    assert forward_ms(make_version(other_team, stranger), make_dataset(other_team, stranger)) is None
