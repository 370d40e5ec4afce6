"""Visibility and the questions that are asked of the store's rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from django.db import models

from apps.accounts.querysets import TeamOwnedQuerySet

if TYPE_CHECKING:
    from apps.models.models import Alias, Blob, DataSet, ModelVersion, RegisteredModel, Upload


class BlobQuerySet(models.QuerySet["Blob"]):
    pass


class UploadQuerySet(TeamOwnedQuerySet["Upload"]):
    pass


class RegisteredModelQuerySet(TeamOwnedQuerySet["RegisteredModel"]):
    pass


class ModelVersionQuerySet(TeamOwnedQuerySet["ModelVersion"]):
    team_path = "model__team"

    def ready(self) -> Self:
        return self.filter(status="ready")


class AliasQuerySet(TeamOwnedQuerySet["Alias"]):
    team_path = "model__team"


class DataSetQuerySet(TeamOwnedQuerySet["DataSet"]):
    def ready(self) -> Self:
        return self.filter(status="ready")
