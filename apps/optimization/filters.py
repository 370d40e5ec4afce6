"""Filters of lists, with the same names in the API and on pages."""

from __future__ import annotations

from django.db.models import Q, QuerySet
from django_filters import rest_framework as filters

from apps.agents.contracts.criteria import Objective
from apps.agents.contracts.state import Outcome, Phase, Status
from apps.audit.models import AuditEvent
from apps.models.filters import IdFilter
from apps.optimization.models import CriteriaSet, LogEntry, OptimizationSession
from apps.optimization.models.choices import choices_of


class SessionFilter(filters.FilterSet):
    search = filters.CharFilter(method="by_words", label="Search", help_text="Words in the model's or data set's name.")
    status = filters.MultipleChoiceFilter(
        choices=choices_of(Status),
        distinct=False,  # a session has one state, so no row appears twice
        help_text="One or more states.",
    )
    outcome = filters.ChoiceFilter(choices=choices_of(Outcome))
    objective = filters.ChoiceFilter(field_name="criteria_body__objective", choices=choices_of(Objective))
    team = filters.CharFilter(field_name="team__slug", help_text="A team's slug.")
    started_after = filters.DateFilter(field_name="created_at", lookup_expr="date__gte", help_text="A day.")
    started_before = filters.DateFilter(field_name="created_at", lookup_expr="date__lte", help_text="A day.")

    class Meta:
        model = OptimizationSession
        fields: tuple[str, ...] = ()

    def by_words(self, queryset: QuerySet[OptimizationSession], name: str, value: str) -> QuerySet[OptimizationSession]:
        for word in value.split():
            queryset = queryset.filter(Q(version__model__name__icontains=word) | Q(dataset__name__icontains=word))
        return queryset


class SessionApiFilter(SessionFilter):
    """The API's filter, which also accepts ids."""

    phase = filters.ChoiceFilter(choices=[(one.value, one.value.capitalize()) for one in Phase])
    model = IdFilter(field_name="version__model_id", help_text="A model's id.")
    version = IdFilter(field_name="version_id", help_text="A version's id.")
    compared = IdFilter(field_name="compared_id", help_text="The id of a version that was compared with another.")
    dataset = IdFilter(field_name="dataset_id", help_text="A data set's id.")
    criteria_set = IdFilter(field_name="criteria_set_id", help_text="The id of named criteria.")


class LogFilter(filters.FilterSet):
    after = IdFilter(field_name="pk", lookup_expr="gt", help_text="Only lines with a larger id.")

    class Meta:
        model = LogEntry
        fields: tuple[str, ...] = ()


class CriteriaFilter(filters.FilterSet):
    team = filters.CharFilter(field_name="team__slug", help_text="A team's slug.")
    built_in = filters.BooleanFilter(
        field_name="team", lookup_expr="isnull", help_text="Whether the criteria are a built-in profile."
    )
    current = filters.BooleanFilter(help_text="Whether the criteria are the newest version.")

    class Meta:
        model = CriteriaSet
        fields = ("name", "version")


class AuditFilter(filters.FilterSet):
    team = filters.CharFilter(field_name="team__slug", help_text="A team's slug.")
    actor = filters.CharFilter(lookup_expr="icontains", help_text="Part of the address or the agent's name.")
    action = filters.CharFilter(lookup_expr="startswith", help_text="The beginning of the action, such as `session`.")
    session = filters.UUIDFilter(field_name="session_id", help_text="A session's id.")
    after = filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte", help_text="A date and time in ISO 8601.")
    before = filters.IsoDateTimeFilter(field_name="at", lookup_expr="lt", help_text="A date and time in ISO 8601.")

    class Meta:
        model = AuditEvent
        fields = ("actor_kind",)
