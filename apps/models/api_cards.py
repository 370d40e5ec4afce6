"""The API for the sections of a model's cards that members write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.requests import member
from apps.api import example, refuse_unknown, validated_body
from apps.models import cards
from apps.models.models import EditedCard, RegisteredModel

if TYPE_CHECKING:
    Base = viewsets.GenericViewSet[RegisteredModel]
else:
    Base = object

SECTIONS = ("intended_use", "training_data", "limitations", "ethical_considerations", "contacts")


class EditedCardSerializer(serializers.ModelSerializer[EditedCard]):
    """Each section is Markdown. `revision` counts the changes; it is 0 before the first."""

    edited_by = serializers.EmailField(source="edited_by.email", default=None, allow_null=True, read_only=True)

    class Meta:
        model = EditedCard
        fields = ("model", *SECTIONS, "revision", "edited_by", "edited_at")
        read_only_fields = fields


class CardChangeSerializer(serializers.Serializer[Any]):
    """The sections that are left out stay as they are."""

    intended_use = serializers.CharField(required=False, allow_blank=True, help_text="Markdown.")
    training_data = serializers.CharField(required=False, allow_blank=True, help_text="Markdown.")
    limitations = serializers.CharField(required=False, allow_blank=True, help_text="Markdown.")
    ethical_considerations = serializers.CharField(required=False, allow_blank=True, help_text="Markdown.")
    contacts = serializers.CharField(required=False, allow_blank=True, help_text="Markdown.")
    expected = serializers.IntegerField(
        required=False,
        min_value=0,
        help_text="The `revision` that you have read. If the card has another one by now, the answer is 409.",
    )


class CardActions(Base):
    """The route of a model's card."""

    @extend_schema(
        methods=["get"], summary="Read what members have written for a model's cards", responses=EditedCardSerializer
    )
    @extend_schema(
        methods=["patch"],
        summary="Write sections of a model's cards",
        request=CardChangeSerializer,
        responses=EditedCardSerializer,
        examples=[example("One section", {"intended_use": "Sorting photos of clothes. **Not** for faces."})],
    )
    @action(detail=True, methods=["get", "patch"], pagination_class=None, filterset_class=None)
    def card(self, request: Request, pk: str) -> Response:
        """Intended use, training data, limitations, ethical considerations and contacts.

        They are in every model card of the model's sessions, beside what was measured. A package keeps what they said
        when it was made.
        """
        model = self.get_object()
        if request.method == "GET":
            refuse_unknown(request, ())
            return Response(EditedCardSerializer(cards.card_of(model)).data)
        card = cards.edit_card(model, member(request), **validated_body(CardChangeSerializer, request))
        return Response(EditedCardSerializer(card).data)
