"""The frame of the API's actions on several rows: `bulk_pages` for programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.requests import member
from apps.accounts.services import require_writers
from apps.api import rows_of, validated_body
from apps.bulk import Act, BulkOutcomes, Row


def bulk_answer(
    request: Request,
    rows: QuerySet[Row],
    acts: Mapping[str, Act[Row]],
    body: type[serializers.Serializer[Any]],
    field: str,
) -> Response:
    """Does the `act` of the request's `body` to those of `rows` whose keys its `field` has, and tells of each how it
    went. The rows belong to teams.

    Raises DRF's `ValidationError`, `RowNotFound` if a row is missing, and `PermissionDenied` below engineer in one of
    the teams; then nothing is done.
    """
    asked = validated_body(body, request)
    chosen = rows_of(rows, field, asked[field])
    require_writers(member(request), {row.team for row in chosen})  # type: ignore[attr-defined]
    return Response(BulkOutcomes.of(acts[asked["act"]], chosen, member(request)).model_dump(mode="json"))
