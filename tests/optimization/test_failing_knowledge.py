"""A technique of another package whose own code fails while planning costs nobody but itself."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from apps.agents.contracts.criteria import Budget, Criteria
from apps.agents.contracts.state import Plan, Status, StepKind
from apps.agents.contracts.step_jobs import HANDLERS
from apps.agents.techniques.catalogue import _loaded
from apps.models.models import DataSet, ModelVersion
from apps.optimization import jobs, services
from apps.optimization.models import OptimizationSession
from tests.optimization import crank

REAL_PLANNING = HANDLERS[StepKind.PLAN]
PACKAGE = """
from apps.agents.techniques.knowledge.technique import TechniqueKnowledge
from apps.agents.techniques.spec import Expectation, Family, Risk, TechniqueSpec


class Careless(TechniqueKnowledge):
    def variants(self, spec, profile):
        return [1 / 0]


SPEC = TechniqueSpec(
    name="acme-careless",
    family=Family.QUANTIZATION,
    label="Careless",
    summary="Fails while it is planned.",
    formats=("onnx",),
    output_format="onnx",
    requires=("onnx",),
    expectation=Expectation(size_ratio=2.0, speedup=2.0, metric_drop_points=0.0, risk=Risk.LOW),
    knowledge=Careless(),
    reference="none",
    implementation="acme_careless:Nothing",
)
"""


@pytest.fixture
def careless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package with such a technique, installed where the portal and the workers' children run."""
    (tmp_path / "acme_careless.py").write_text(PACKAGE)
    information = tmp_path / "acme_careless-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-careless\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[lathe.techniques]\ncareless = acme_careless:SPEC\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    _loaded.cache_clear()
    yield
    _loaded.cache_clear()
    sys.modules.pop("acme_careless", None)


def reason(plan: Plan) -> str:
    return next(one.reason for one in plan.omitted if one.technique == "acme-careless")


@pytest.mark.django_db
@pytest.mark.usefixtures("careless")
def test_the_preview_leaves_it_out_by_name(version: ModelVersion, dataset: DataSet) -> None:
    plan = services.session_preview(version, dataset, Criteria()).plan
    assert plan.candidates
    assert reason(plan) == (
        "Its own code failed while it was planned (ZeroDivisionError: division by zero). Tell whoever maintains it."
    )


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("stored", "small_handlers", "impatient", "careless")
def test_a_session_goes_on_without_it(
    start: Callable[..., OptimizationSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(jobs.HANDLERS, StepKind.PLAN, REAL_PLANNING)
    session = start(criteria=Criteria(budget=Budget(candidates=1)))
    crank.turn_until_quiet()
    session.refresh_from_db()
    assert (session.status, session.error) == (Status.COMPLETED, "")
    plan = services.report(session).plan
    assert plan is not None
    assert plan.candidates
    assert "ZeroDivisionError" in reason(plan)
