"""Whatever inspection says of a model and a data set is checked and planned, with a sentence at worst."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.reports.dataset import DatasetSummary
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.datasets.dataset_fit import check_against
from apps.agents.planning.agent import plan_preview
from apps.agents.techniques.compatibility import compatibility
from apps.errors import UserError
from tests.agents.summaries import DATASETS, MODELS, SPECS, fitting, of_spec

ANY = settings(max_examples=60, deadline=None)


@given(MODELS, DATASETS, SPECS, st.booleans(), st.booleans())
@ANY
def test_a_check_passes_or_says_in_a_sentence_why_not(
    model: ModelSummary, dataset: DatasetSummary, spec: DatasetSpec, told: bool, fed: bool
) -> None:
    read = of_spec(fitting(model, dataset) if fed else dataset, spec)
    with suppress(UserError):
        check_against(model, read, spec if told else None)


@given(MODELS, DATASETS)
@ANY
def test_a_plan_can_be_had_of_any_model(model: ModelSummary, dataset: DatasetSummary) -> None:
    plan = plan_preview(model, dataset, Criteria(), (), ())
    assert plan.summary
    assert all(one.reason for one in (*plan.candidates, *compatibility(model, None, dataset)))
