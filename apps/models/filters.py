"""What lists can be narrowed by, the same words in the API and on the pages."""

from __future__ import annotations

from django.db.models import QuerySet
from django_filters import rest_framework as filters

from apps.models.models import Alias, DataSet, InspectionStatus, ModelVersion, RegisteredModel


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
    # DRF keeps the word `format` for itself.
    model_format = filters.CharFilter(field_name="metadata__format", help_text="Such as `onnx`.")
    sha256 = filters.CharFilter(field_name="blob__sha256", help_text="The digest of the file.")

    class Meta:
        model = ModelVersion
        fields = ("model", "number", "source_session", "parent")


class AliasFilter(filters.FilterSet):
    team = filters.CharFilter(field_name="model__team__slug", help_text="A team's slug.")

    class Meta:
        model = Alias
        fields = ("model", "name", "version")


class DataSetFilter(filters.FilterSet):
    search = filters.CharFilter(method="by_words", help_text="Words in the name or the description.")
    team = filters.CharFilter(field_name="team__slug", help_text="A team's slug.")
    status = filters.ChoiceFilter(choices=InspectionStatus.choices)

    class Meta:
        model = DataSet
        fields = ("name",)

    def by_words(self, queryset: QuerySet[DataSet], name: str, value: str) -> QuerySet[DataSet]:
        return queryset.search(value)  # type: ignore[attr-defined]
