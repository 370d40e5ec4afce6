"""The API for templates: a model's sessions start from the settings of another."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.requests import member
from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.plan_edits import PlanEdits
from apps.api import example, json_of, row_of, validated_body
from apps.models.models import ModelVersion
from apps.optimization import services
from apps.optimization.columns import LIST_OF_TEMPLATES
from apps.optimization.models import OptimizationSession, SessionTemplate
from apps.optimization.serializers import SessionSerializer


class TemplateSerializer(serializers.ModelSerializer[SessionTemplate]):
    """What sessions of `model` start with. `dataset` is null once the data set is deleted."""

    criteria = json_of(Criteria, source="criteria_body", read_only=True)
    edits = json_of(PlanEdits, source="edits_body", read_only=True)
    default = serializers.BooleanField(source="is_default", read_only=True)
    created_by = serializers.EmailField(source="created_by.email", default=None, allow_null=True, read_only=True)

    class Meta:
        model = SessionTemplate
        fields = (
            *("id", "model", "name", "default", "dataset", "student", "criteria_set", "criteria", "edits"),
            *("make_anew", "created_by", "created_at"),
        )
        read_only_fields = fields


class NewTemplateSerializer(serializers.Serializer[Any]):
    session = serializers.UUIDField(help_text="The session whose settings are kept. Any but a comparison.")
    name = serializers.CharField(max_length=SessionTemplate.LONGEST_NAME, help_text="Unique within the model.")
    default = serializers.BooleanField(default=False, help_text="Whether it becomes the model's default.")
    replace = serializers.BooleanField(default=False, help_text="Whether to replace a template of the same name.")


class TemplateChangeSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=SessionTemplate.LONGEST_NAME, required=False)
    default = serializers.BooleanField(required=False)


class TemplateStartSerializer(serializers.Serializer[Any]):
    version = serializers.IntegerField(required=False, help_text="Without it, the newest version that is ready.")
    start_anyway = serializers.BooleanField(default=False, help_text="As for a new session.")


class TemplateFilter(filters.FilterSet):
    model = filters.NumberFilter(field_name="model_id", help_text="A model's id.")
    team = filters.CharFilter(field_name="model__team__slug", help_text="A team's slug.")

    class Meta:
        model = SessionTemplate
        fields: tuple[str, ...] = ()


@extend_schema(tags=["sessions"])
@extend_schema_view(
    create=extend_schema(
        summary="Save a session's settings as a template",
        request=NewTemplateSerializer,
        responses={201: TemplateSerializer},
        examples=[example("Nightly", {"session": "0b2c6f1e-5f0a-4a4e-9f59-0d8c8ad9e0c1", "name": "Nightly"})],
    ),
    partial_update=extend_schema(
        summary="Rename a template, or make it the default",
        request=TemplateChangeSerializer,
        responses=TemplateSerializer,
        examples=[example("The default of its model", {"default": True})],
    ),
    destroy=extend_schema(summary="Delete a template"),
    start=extend_schema(
        summary="Start a session from a template",
        request=TemplateStartSerializer,
        responses={201: SessionSerializer},
        examples=[example("On the newest version", {})],
    ),
)
class TemplateViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[SessionTemplate]):
    """Templates of models: data set, student, criteria and edits of the plan under a name."""

    serializer_class = TemplateSerializer
    queryset = SessionTemplate.objects.all()
    filterset_class = TemplateFilter
    listing = LIST_OF_TEMPLATES

    def get_queryset(self) -> QuerySet[SessionTemplate]:
        rows = SessionTemplate.objects.visible_to(self.request.user)
        return rows.select_related("model__team", "dataset", "student__model", "criteria_set", "created_by")

    def create(self, request: Request) -> Response:
        asked = validated_body(NewTemplateSerializer, request)
        sessions = OptimizationSession.objects.visible_to(request.user).select_related("team", "version__model")
        session = row_of(sessions, "session", asked.pop("session"))
        template = services.template_save(session, member(request), **asked)
        return Response(self.get_serializer(template).data, status=status.HTTP_201_CREATED)

    def partial_update(self, request: Request, pk: str) -> Response:
        template, asked = self.get_object(), validated_body(TemplateChangeSerializer, request)
        return Response(self.get_serializer(services.template_change(template, member(request), **asked)).data)

    def destroy(self, request: Request, pk: str) -> Response:
        """Sessions that started from it stay."""
        services.template_delete(self.get_object(), member(request))
        return Response(status=status.HTTP_204_NO_CONTENT)

    @action(detail=True, methods=["post"])
    def start(self, request: Request, pk: str) -> Response:
        """Starts a session with these settings, on `version` or on the newest version that is ready."""
        template, asked = self.get_object(), validated_body(TemplateStartSerializer, request)
        versions = ModelVersion.objects.visible_to(request.user).select_related("model__team", "metadata")
        version = row_of(versions, "version", asked.pop("version")) if "version" in asked else None
        session = services.template_start(template, member(request), version, **asked)
        context = self.get_serializer_context()
        return Response(SessionSerializer(session, context=context).data, status=status.HTTP_201_CREATED)
