"""Whatever inspection has let through, no page and no address answers with an error of ours."""

from __future__ import annotations

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from apps.accounts.models import User
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.reports.dataset import DatasetSummary
from apps.agents.contracts.reports.model import ModelSummary
from apps.models.models import DataSet, ModelMetadata, ModelVersion
from apps.optimization.models import CriteriaSet
from tests.agents.summaries import DATASETS, MODELS, SPECS, fitting, of_spec

pytestmark = [pytest.mark.django_db, pytest.mark.portable]


@given(MODELS, DATASETS, SPECS, st.booleans())
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_previews_starts_and_pages_answer_for_every_summary(
    version: ModelVersion,
    dataset: DataSet,
    engineer: User,
    model: ModelSummary,
    data: DatasetSummary,
    spec: DatasetSpec,
    fed: bool,
) -> None:
    ModelMetadata.record(version, model)
    read = of_spec(fitting(model, data) if fed else data, spec).model_dump(mode="json")
    DataSet.objects.filter(pk=dataset.pk).update(summary=read, spec=spec.model_dump(mode="json"))
    criteria = CriteriaSet.objects.order_by("pk").first()
    assert criteria is not None
    page, api = Client(raise_request_exception=False), APIClient(raise_request_exception=False)
    page.force_login(engineer)
    api.force_authenticate(engineer)
    asked = {"version": version.pk, "dataset": dataset.pk, "criteria_set": criteria.pk}
    answers = [
        page.get("/sessions/new/preview/", asked),
        page.get("/sessions/new/", asked),
        page.get(f"/models/{version.model_id}/"),
        page.get(f"/models/{version.model_id}/versions/{version.number}/"),
        page.get(f"/datasets/{dataset.pk}/"),
        page.get("/models/"),
        page.get("/datasets/"),
        api.get(f"/api/v1/versions/{version.pk}/"),
        api.get(f"/api/v1/datasets/{dataset.pk}/"),
        api.post("/api/v1/sessions/preview/", asked, format="json"),
        api.post("/api/v1/sessions/", asked, format="json"),
        page.post("/sessions/new/", asked),
    ]
    told = {answer.request["PATH_INFO"]: answer.status_code for answer in answers}
    assert {200, 201, 302, 409, 422} >= set(told.values()), told
