"""The model store: registered models with versions, aliases and lineage; data sets; content-addressed files."""

from apps.models.models.alias_requests import AliasRequest, RequestStatus
from apps.models.models.aliases import Alias, AliasMove
from apps.models.models.datasets import DataSet
from apps.models.models.files import Blob, Upload, UploadChunk
from apps.models.models.inspected import Inspected, InspectionStatus
from apps.models.models.registered import EditedCard, RegisteredModel
from apps.models.models.store_limits import StoreQuota, StoreSettings
from apps.models.models.versions import LONG_FIELDS, LONGEST_SIGNATURE, LONGEST_WORDS, ModelMetadata, ModelVersion

__all__ = [
    "LONGEST_SIGNATURE",
    "LONGEST_WORDS",
    "LONG_FIELDS",
    "Alias",
    "AliasMove",
    "AliasRequest",
    "Blob",
    "DataSet",
    "EditedCard",
    "Inspected",
    "InspectionStatus",
    "ModelMetadata",
    "ModelVersion",
    "RegisteredModel",
    "RequestStatus",
    "StoreQuota",
    "StoreSettings",
    "Upload",
    "UploadChunk",
]
