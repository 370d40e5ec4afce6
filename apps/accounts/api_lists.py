"""The API for saved filters and chosen columns of lists."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from pydantic import BaseModel
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts import saved_filters
from apps.accounts.models import SavedFilter
from apps.accounts.requests import member
from apps.accounts.serializers import TeamChoice
from apps.accounts.teams import team_for
from apps.api import example, refuse_unknown, validated_body
from apps.listings import offered

LISTS = tuple(offered())


class SavedFilterSerializer(serializers.ModelSerializer[SavedFilter]):
    """`query` is what stands after the question mark of the list's address, on pages and in the API alike."""

    team: serializers.SlugRelatedField[Any] = serializers.SlugRelatedField(slug_field="slug", read_only=True)
    user = serializers.EmailField(source="user.email", read_only=True)
    list = serializers.ChoiceField(choices=LISTS, source="listing", read_only=True)

    class Meta:
        model = SavedFilter
        fields = ("id", "team", "user", "list", "name", "query", "shared", "created_at")
        read_only_fields = fields


class NewSavedFilterSerializer(TeamChoice):
    list = serializers.ChoiceField(choices=LISTS)
    name = serializers.CharField(max_length=80)
    query = serializers.CharField(max_length=2000)
    shared = serializers.BooleanField(default=False, help_text="Whether the whole team can use it.")


class SavedFilterFilter(filters.FilterSet):
    team = filters.CharFilter(field_name="team__slug", help_text="A team's slug.")
    list = filters.ChoiceFilter(field_name="listing", choices=[(name, name) for name in LISTS])

    class Meta:
        model = SavedFilter
        fields: tuple[str, ...] = ("shared",)


@extend_schema(tags=["search"])
@extend_schema_view(
    create=extend_schema(
        summary="Save a filter",
        request=NewSavedFilterSerializer,
        responses={201: SavedFilterSerializer},
        examples=[example("Failed", {"list": "sessions", "name": "Failed lately", "query": "status=failed"})],
    )
)
class SavedFilterViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[SavedFilter]):
    """Filters of lists that you saved by name, and those that others share with the team."""

    serializer_class = SavedFilterSerializer
    queryset = SavedFilter.objects.all()
    filterset_class = SavedFilterFilter
    ordering_fields = ("name", "created_at")

    def get_queryset(self) -> QuerySet[SavedFilter]:
        return SavedFilter.objects.visible_to(self.request.user).select_related("team", "user")

    def create(self, request: Request) -> Response:
        asked = validated_body(NewSavedFilterSerializer, request)
        team = team_for(member(request), asked.pop("team", None))
        made = saved_filters.save_filter(member(request), team, listing=asked.pop("list"), **asked)
        return Response(self.get_serializer(made).data, status=status.HTTP_201_CREATED)

    def destroy(self, request: Request, pk: str) -> Response:
        """Deletes a filter of your own; owners also delete those that the team shares."""
        saved_filters.delete_filter(self.get_object(), member(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


class ColumnsOfList(BaseModel):
    list: str
    shown: tuple[str, ...]
    choices: tuple[str, ...]


class ChosenColumns(BaseModel):
    """By list: the columns that you see beside the first one, and all that there are."""

    lists: tuple[ColumnsOfList, ...]


class ColumnsSerializer(serializers.Serializer[Any]):
    list = serializers.ChoiceField(choices=LISTS)
    columns = serializers.ListField(
        child=serializers.CharField(max_length=40), max_length=40, help_text="None: the usual ones."
    )


@extend_schema(tags=["search"])
class ListColumnsView(APIView):
    """The columns that you see in lists."""

    @extend_schema(summary="Read the columns of your lists", responses=ChosenColumns)
    def get(self, request: Request) -> Response:
        refuse_unknown(request, ())
        return Response(_columns(request).model_dump(mode="json"))

    @extend_schema(
        summary="Choose the columns of a list",
        request=ColumnsSerializer,
        responses=ChosenColumns,
        examples=[OpenApiExample("Two", {"list": "sessions", "columns": ["status", "faster"]}, request_only=True)],
    )
    def patch(self, request: Request) -> Response:
        asked = validated_body(ColumnsSerializer, request)
        saved_filters.choose_columns(member(request), asked["list"], asked["columns"])
        return Response(_columns(request).model_dump(mode="json"))


def _columns(request: Request) -> ChosenColumns:
    return ChosenColumns(
        lists=tuple(
            ColumnsOfList(
                list=name,
                shown=saved_filters.columns_for(member(request), name),
                choices=tuple(one.name for one in offered()[name].choices),
            )
            for name in LISTS
        )
    )


list_routes = [("saved-filters", SavedFilterViewSet, "saved-filter")]
