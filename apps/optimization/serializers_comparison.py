"""The body of a request that compares two versions."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from apps.optimization.serializers_criteria import CriteriaChoiceSerializer


class ComparisonSerializer(CriteriaChoiceSerializer):
    """The request: two versions, a data set, and criteria as for a session. Only their limits, target, confidence,
    counted size and budget of time matter.
    """

    version = serializers.IntegerField(
        required=False, help_text="The id of the version that stands, such as the one in production."
    )
    alias = serializers.SlugField(
        required=False,
        max_length=60,
        help_text="Instead of `version`: an alias of the model of `compared`, such as `production`.",
    )
    compared = serializers.IntegerField(help_text="The id of the version that is to prove itself against it.")
    dataset = serializers.IntegerField(help_text="A data set's id.")
    seed = serializers.IntegerField(required=False, min_value=0, max_value=2**31 - 1)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Exactly one of `version` and `alias`."""
        if ("version" in attrs) == ("alias" in attrs):
            raise serializers.ValidationError({"version": "Give either `version` or `alias`."}, code="required")
        return attrs
