"""The API for comments on sessions."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.requests import member
from apps.api import example, row_of, validated_body
from apps.optimization import services
from apps.optimization.models import LONGEST_COMMENT, OptimizationSession, SessionComment


class CommentSerializer(serializers.ModelSerializer[SessionComment]):
    """`text` is Markdown. `author` is null for a member who was removed."""

    author = serializers.EmailField(source="author.email", default=None, read_only=True, allow_null=True)

    class Meta:
        model = SessionComment
        fields = ("id", "session", "author", "text", "created_at", "edited_at")
        read_only_fields = fields


class CommentTextSerializer(serializers.Serializer[Any]):
    text = serializers.CharField(
        max_length=LONGEST_COMMENT, help_text="Markdown. `@name` mentions a member of the team."
    )


class NewCommentSerializer(CommentTextSerializer):
    session = serializers.UUIDField()


class CommentFilter(filters.FilterSet):
    session = filters.UUIDFilter(field_name="session_id", help_text="A session's id.")
    team = filters.CharFilter(field_name="session__team__slug", help_text="A team's slug.")

    class Meta:
        model = SessionComment
        fields: tuple[str, ...] = ()


@extend_schema(tags=["sessions"])
@extend_schema_view(
    create=extend_schema(
        summary="Comment on a session",
        request=NewCommentSerializer,
        responses={201: CommentSerializer},
        examples=[
            example(
                "With a mention",
                {"session": "0b2c6f1e-5f0a-4a4e-9f59-0d8c8ad9e0c1", "text": "@olga, is **0.4 points** all right?"},
            )
        ],
    ),
    partial_update=extend_schema(
        summary="Change a comment of your own",
        request=CommentTextSerializer,
        responses=CommentSerializer,
        examples=[example("Another text", {"text": "Never mind."})],
    ),
    destroy=extend_schema(summary="Delete a comment of your own"),
)
class CommentViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[SessionComment]):
    """Comments of members on sessions. `@name` tells the member whose address begins so, or `@name@example.org`."""

    serializer_class = CommentSerializer
    queryset = SessionComment.objects.all()
    filterset_class = CommentFilter
    ordering_fields = ("created_at",)

    def get_queryset(self) -> QuerySet[SessionComment]:
        rows = SessionComment.objects.visible_to(self.request.user)
        return rows.select_related("author", "session__team", "session__version__model")

    def create(self, request: Request) -> Response:
        asked = validated_body(NewCommentSerializer, request)
        session = row_of(OptimizationSession.objects.visible_to(request.user), "session", asked["session"])
        comment = services.comment_write(session, member(request), asked["text"])
        return Response(self.get_serializer(comment).data, status=status.HTTP_201_CREATED)

    def partial_update(self, request: Request, pk: str) -> Response:
        comment, asked = self.get_object(), validated_body(CommentTextSerializer, request)
        return Response(self.get_serializer(services.comment_edit(comment, member(request), asked["text"])).data)

    def destroy(self, request: Request, pk: str) -> Response:
        services.comment_delete(self.get_object(), member(request))
        return Response(status=status.HTTP_204_NO_CONTENT)
