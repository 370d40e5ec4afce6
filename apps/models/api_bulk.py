"""The API's actions on several models or data sets at once."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.bulk_api import bulk_answer
from apps.api import example
from apps.bulk import MOST, BulkOutcomes
from apps.models.bulk import DATASET_ACTS, MODEL_ACTS
from apps.models.models import DataSet, RegisteredModel


class ModelBulkSerializer(serializers.Serializer[Any]):
    """What to do to which models."""

    act = serializers.ChoiceField(choices=tuple(MODEL_ACTS))
    models = serializers.ListField(child=serializers.IntegerField(min_value=1), min_length=1, max_length=MOST)


class DataSetBulkSerializer(serializers.Serializer[Any]):
    """What to do to which data sets."""

    act = serializers.ChoiceField(choices=tuple(DATASET_ACTS))
    datasets = serializers.ListField(child=serializers.IntegerField(min_value=1), min_length=1, max_length=MOST)


class BulkModels(viewsets.GenericViewSet[RegisteredModel]):
    """Adds the action to the models' routes."""

    @extend_schema(
        summary="Delete several models",
        request=ModelBulkSerializer,
        responses=BulkOutcomes,
        examples=[example("Two of them", {"act": "delete", "models": [4, 7]})],
    )
    @action(detail=False, methods=["post"])
    def bulk(self, request: Request) -> Response:
        """Each model is handled by itself: one that sessions use stays, and does not hold up the others."""
        return bulk_answer(request, self.get_queryset(), MODEL_ACTS, ModelBulkSerializer, "models")


class BulkDataSets(viewsets.GenericViewSet[DataSet]):
    """Adds the action to the data sets' routes."""

    @extend_schema(
        summary="Delete several data sets",
        request=DataSetBulkSerializer,
        responses=BulkOutcomes,
        examples=[example("Two of them", {"act": "delete", "datasets": [4, 7]})],
    )
    @action(detail=False, methods=["post"])
    def bulk(self, request: Request) -> Response:
        """Each data set is handled by itself: one that sessions use stays, and does not hold up the others."""
        return bulk_answer(request, self.get_queryset(), DATASET_ACTS, DataSetBulkSerializer, "datasets")
