"""The API's form of criteria: named ones, their conflicts, and the defaults."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from apps.accounts.serializers import TeamChoice
from apps.agents.contracts.criteria import Criteria
from apps.api import json_of
from apps.optimization.models import CriteriaSet

EXAMPLE_CRITERIA: dict[str, Any] = {
    "objective": "latency",
    "constraints": {"max_metric_drop_points": 1.0, "min_speedup": 1.5},
    "target": {"device": "cpu", "threads": 1, "batch_size": 1},
    "budget": {"minutes": 20, "candidates": 8},
}


# --- out -------------------------------------------------------------------------------------------------------------


class CriteriaSetSerializer(serializers.ModelSerializer[CriteriaSet]):
    """`team` is empty for a built-in profile. A session that starts with the criteria freezes a copy of `body`."""

    team: Any = serializers.SlugRelatedField(slug_field="slug", read_only=True, allow_null=True)
    body = json_of(Criteria, read_only=True)
    created_by = serializers.EmailField(source="created_by.email", default=None, allow_null=True, read_only=True)

    class Meta:
        model = CriteriaSet
        fields = ("id", "team", "name", "version", "description", "body", "current", "created_by", "created_at")
        read_only_fields = fields


class DefaultsSerializer(serializers.Serializer[Any]):
    """`used` is what a session starts with if its request names no criteria: the member's default before the team's."""

    team = CriteriaSetSerializer(allow_null=True)
    member = CriteriaSetSerializer(allow_null=True)
    used = CriteriaSetSerializer(allow_null=True)
    sentence = serializers.CharField(help_text="Which default takes precedence; empty without any.")


# --- in --------------------------------------------------------------------------------------------------------------


class NewCriteriaSerializer(TeamChoice):
    name = serializers.CharField(max_length=80)
    description = serializers.CharField(required=False, allow_blank=True, default="")
    body = json_of(Criteria)


class CriteriaChangeSerializer(serializers.Serializer[Any]):
    """Omitted fields stay unchanged, also within groups of `body` such as `constraints`."""

    name = serializers.CharField(max_length=80, required=False)
    description = serializers.CharField(required=False, allow_blank=True)
    body = json_of(Criteria, required=False)


RESOLUTIONS = (
    "Ids of resolutions that conflicts of the criteria propose. They are applied after `overrides`. The `patch` of a "
    "resolution can be sent as `overrides` instead."
)


def resolutions_field() -> serializers.ListField:
    return serializers.ListField(
        child=serializers.CharField(max_length=200), required=False, max_length=50, help_text=RESOLUTIONS
    )


class CriteriaCheckSerializer(serializers.Serializer[Any]):
    """Named or inline criteria, and, where given, the model and data set to check them against."""

    criteria_set = serializers.IntegerField(required=False, help_text="The id of named criteria.")
    criteria = json_of(Criteria, required=False)
    overrides = serializers.DictField(required=False, help_text="Fields of the criteria to replace.")
    resolutions = resolutions_field()
    version = serializers.IntegerField(required=False, help_text="A version's id.")
    dataset = serializers.IntegerField(required=False, help_text="A data set's id.")
    student = serializers.IntegerField(required=False, allow_null=True, help_text="Another version's id.")


class CriteriaResolutionSerializer(serializers.Serializer[Any]):
    """The resolutions to apply. With `version` and `dataset`, those of conflicts with them can be applied too."""

    resolutions = serializers.ListField(
        child=serializers.CharField(max_length=200), min_length=1, max_length=50, help_text=RESOLUTIONS
    )
    version = serializers.IntegerField(required=False, help_text="A version's id.")
    dataset = serializers.IntegerField(required=False, help_text="A data set's id.")


class DefaultsChangeSerializer(TeamChoice):
    """Ids of current versions, or null to remove a default. What is left out stays unchanged."""

    team_default = serializers.IntegerField(required=False, allow_null=True, help_text="Set by owners.")
    member_default = serializers.IntegerField(required=False, allow_null=True, help_text="Your own in this team.")


class CriteriaChoiceSerializer(serializers.Serializer[Any]):
    """Named or inline criteria, or else the member's or the team's default. `overrides` are applied on top."""

    criteria_set = serializers.IntegerField(
        required=False,
        help_text="The id of named criteria. Without it and `criteria`, your default is used, or the team's.",
    )
    criteria = json_of(Criteria, required=False)
    overrides = serializers.DictField(
        required=False, help_text="Fields of the criteria to replace, in the same structure."
    )
