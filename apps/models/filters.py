"""Filters of lists, with the same names in the API and on pages."""

from __future__ import annotations

from typing import Any

from django.db.models import BigIntegerField, QuerySet
from django_filters import rest_framework as filters

from apps.models.models import (
    Alias,
    AliasRequest,
    DataSet,
    InspectionStatus,
    ModelVersion,
    RegisteredModel,
    RequestStatus,
)

LARGEST_ID = BigIntegerField.MAX_BIGINT
"""SQLite's driver raises an error for numbers of larger magnitude."""


def id_of(text: str) -> int | None:
    """The id that `text` from an address states; `None` if it cannot be one."""
    return int(text) if text.isdecimal() and len(text) <= len(str(LARGEST_ID)) and int(text) <= LARGEST_ID else None


class IdFilter(filters.NumberFilter):
    """An id, not a choice among rows. Refusing unknown ids would reveal which ids exist in other teams."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs, min_value=-LARGEST_ID, max_value=LARGEST_ID)


class ModelFilter(filters.FilterSet):
    search = filters.CharFilter(method="by_words", help_text="Words in the name or the description.")
    tag = filters.CharFilter(method="by_tag", help_text="A tag of the model.")
    team = filters.CharFilter(field_name="team__slug", help_text="A team's slug.")

    class Meta:
        model = RegisteredModel
        fields = ("name",)

    def by_words(self, queryset: QuerySet[RegisteredModel], name: str, value: str) -> QuerySet[RegisteredModel]:
        return queryset.search(value)  # type: ignore[attr-defined]

    def by_tag(self, queryset: QuerySet[RegisteredModel], name: str, value: str) -> QuerySet[RegisteredModel]:
        return queryset.tagged(value.lower())  # type: ignore[attr-defined]


class VersionFilter(filters.FilterSet):
    team = filters.CharFilter(field_name="model__team__slug", help_text="A team's slug.")
    status = filters.ChoiceFilter(choices=InspectionStatus.choices)
    # DRF reserves the name `format`.
    model_format = filters.CharFilter(field_name="metadata__format", help_text="Such as `onnx`.")
    sha256 = filters.CharFilter(field_name="blob__sha256", help_text="The digest of the file.")
    model = IdFilter(field_name="model_id", help_text="A model's id.")
    parent = IdFilter(field_name="parent_id", help_text="A version's id.")

    class Meta:
        model = ModelVersion
        fields = ("number", "source_session")


class AliasFilter(filters.FilterSet):
    team = filters.CharFilter(field_name="model__team__slug", help_text="A team's slug.")
    model = IdFilter(field_name="model_id", help_text="A model's id.")
    version = IdFilter(field_name="version_id", help_text="A version's id.")

    class Meta:
        model = Alias
        fields = ("name",)


class AliasRequestFilter(filters.FilterSet):
    team = filters.CharFilter(field_name="alias__model__team__slug", help_text="A team's slug.")
    model = IdFilter(field_name="alias__model_id", help_text="A model's id.")
    alias = filters.CharFilter(field_name="alias__name", help_text="An alias's name.")
    status = filters.ChoiceFilter(choices=RequestStatus.choices)

    class Meta:
        model = AliasRequest
        fields = ("session",)


class DataSetFilter(filters.FilterSet):
    search = filters.CharFilter(method="by_words", help_text="Words in the name or the description.")
    team = filters.CharFilter(field_name="team__slug", help_text="A team's slug.")
    status = filters.ChoiceFilter(choices=InspectionStatus.choices)

    class Meta:
        model = DataSet
        fields = ("name",)

    def by_words(self, queryset: QuerySet[DataSet], name: str, value: str) -> QuerySet[DataSet]:
        return queryset.search(value)  # type: ignore[attr-defined]
