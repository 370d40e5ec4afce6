"""The body of a request that compares two versions."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from apps.agents.contracts.criteria import Criteria
from apps.api import json_of


class ComparisonSerializer(serializers.Serializer[Any]):
    """The request: two versions, a data set, and criteria as for a session. Only their limits, target, confidence,
    counted size and budget of time matter.
    """

    version = serializers.IntegerField(help_text="The id of the version that stands, such as the one in production.")
    compared = serializers.IntegerField(help_text="The id of the version that is to prove itself against it.")
    dataset = serializers.IntegerField(help_text="A data set's id.")
    criteria_set = serializers.IntegerField(
        required=False,
        help_text="The id of named criteria. Without it and `criteria`, your default is used, or the team's.",
    )
    criteria = json_of(Criteria, required=False)
    overrides = serializers.DictField(
        required=False, help_text="Fields of the criteria to replace, in the same structure."
    )
    seed = serializers.IntegerField(required=False, min_value=0, max_value=2**31 - 1)
