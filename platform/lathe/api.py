"""The REST API under `/api/v1/`: one router, filled by the apps' own `routes`."""

from __future__ import annotations

from typing import Any

from django.urls import path
from rest_framework.routers import DefaultRouter

from apps.accounts.api import MeView
from apps.accounts.api import routes as account_routes
from apps.accounts.api_lists import ListColumnsView
from apps.guide.api import FindView
from apps.models.api import routes as store_routes
from apps.notifications.api import routes as notification_routes
from apps.optimization.api.criteria import DefaultCriteriaView
from apps.optimization.api.operation import PredictionsView, StorageView
from apps.optimization.api.routes import routes as optimization_routes
from apps.optimization.api.side_by_side import CompareFileView, CompareView, TrendView
from lathe.operations.api import OperationsView, ResumeView, VerifyTrailView

app_name = "api"

router = DefaultRouter()
# One URL per resource: no second one that ends in `.json`.
router.include_format_suffixes = False
routes: list[tuple[str, Any, str]] = [
    *account_routes,
    *notification_routes,
    *store_routes,
    *optimization_routes,
]
for prefix, viewset, basename in routes:
    router.register(prefix, viewset, basename)

urlpatterns = [
    path("find/", FindView.as_view(), name="find"),
    path("list-columns/", ListColumnsView.as_view(), name="list-columns"),
    path("me/", MeView.as_view(), name="me"),
    path("predictions/", PredictionsView.as_view(), name="predictions"),
    path("compare/", CompareView.as_view(), name="compare"),
    path("compare/csv/", CompareFileView.as_view(), name="compare-csv"),
    path("trends/", TrendView.as_view(), name="trend"),
    path("operations/", OperationsView.as_view(), name="operations"),
    path("operations/resume/", ResumeView.as_view(), name="operations-resume"),
    path("operations/verify-trail/", VerifyTrailView.as_view(), name="operations-verify-trail"),
    path("storage/", StorageView.as_view(), name="storage"),
    # Before the router's: an id would match it too.
    path("criteria/defaults/", DefaultCriteriaView.as_view(), name="default-criteria"),
    *router.urls,
]
