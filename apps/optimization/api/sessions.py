"""The API for sessions. Each method looks up rows visible to the user and calls the same service as the pages."""

from __future__ import annotations

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import mixins

from apps.optimization.api.bulk import BulkSessions
from apps.optimization.api.delivery import DeliveryActions
from apps.optimization.api.evidence import EvidenceActions
from apps.optimization.api.lifecycle import LifecycleActions
from apps.optimization.api.results import ResultActions
from apps.optimization.columns import LIST_OF_SESSIONS
from apps.optimization.filters import SessionApiFilter
from apps.optimization.models import OptimizationSession
from apps.optimization.serializers import SessionSerializer


@extend_schema(tags=["sessions"])
class SessionViewSet(
    LifecycleActions,
    ResultActions,
    DeliveryActions,
    EvidenceActions,
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    BulkSessions,
):
    """Optimization sessions: start one, watch it (`status`, `progress`, `log`), fetch its report and package."""

    serializer_class = SessionSerializer
    queryset = OptimizationSession.objects.all()
    filterset_class = SessionApiFilter
    listing = LIST_OF_SESSIONS

    def get_queryset(self) -> QuerySet[OptimizationSession]:
        visible = OptimizationSession.objects.visible_to(self.request.user)
        return visible.select_related(
            "team",
            "version__model__team",
            "version__metadata",
            "compared",
            "dataset",
            "criteria_set",
            "package",
            "created_by",
        )
