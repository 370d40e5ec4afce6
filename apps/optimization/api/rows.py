"""The rows that a request of the API names by their ids."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework.request import Request

from apps.api import RowNotFound, row_of
from apps.models.models import DataSet, ModelVersion
from apps.optimization.models import CriteriaSet

EXAMPLE_QUESTION = {"version": 31, "dataset": 4, "criteria_set": 2, "overrides": {"budget": {"minutes": 10}}}


def version_behind(alias: str, compared: ModelVersion) -> ModelVersion:
    """The version at which `alias` of the model of `compared` points. Raises `RowNotFound`."""
    row = compared.model.aliases.filter(name=alias).select_related("version__model__team", "version__metadata").first()
    if row is None:
        raise RowNotFound("alias")
    return row.version


def named_rows(request: Request, asked: dict[str, Any]) -> dict[str, Any]:
    """The rows that the request names, if visible to the user: version, student, compared version, data set and
    criteria. Each is `None` if it is not named; `compared` is left out then. Raises `RowNotFound`.
    """
    versions = ModelVersion.objects.visible_to(request.user).select_related("model__team", "metadata")
    rows: dict[str, QuerySet[Any]] = {
        "version": versions,
        "student": versions,
        "compared": versions,
        "dataset": DataSet.objects.visible_to(request.user),
        "criteria_set": CriteriaSet.objects.visible_to(request.user),
    }
    named = {name: asked.get(name) for name in rows if name in asked or name != "compared"}
    return {name: None if pk is None else row_of(rows[name], name, pk) for name, pk in named.items()}
