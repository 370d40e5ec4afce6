"""The store's rows in API responses, and the bodies of API requests."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.accounts.models import Team
from apps.accounts.serializers import TeamChoice
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.formats import FORMATS, uploads_in_words
from apps.agents.contracts.reports.dataset import DatasetSummary
from apps.agents.contracts.reports.model import CodeFile, LanguageModel, Signature, TensorSpec
from apps.api import json_of
from apps.models.models import (
    Alias,
    AliasMove,
    AliasRequest,
    DataSet,
    ModelMetadata,
    ModelVersion,
    RegisteredModel,
    Upload,
)

# --- out -------------------------------------------------------------------------------------------------------------


class MetadataGlanceSerializer(serializers.ModelSerializer[ModelMetadata]):
    """What inspection found, without the long parts: the list of weights and the code."""

    format = serializers.ChoiceField([(spec.format.value, spec.label) for spec in FORMATS.values()], read_only=True)
    format_label = serializers.CharField(read_only=True)
    opset = serializers.IntegerField(source="body.opset", read_only=True, allow_null=True)
    producer = serializers.CharField(source="body.producer", read_only=True)
    inputs = serializers.ListField(source="body.inputs", child=json_of(TensorSpec), read_only=True)
    outputs = serializers.ListField(source="body.outputs", child=json_of(TensorSpec), read_only=True)
    operators = serializers.DictField(source="body.operators", child=serializers.IntegerField(), read_only=True)
    weight_dtypes = serializers.DictField(source="body.weight_dtypes", child=serializers.IntegerField(), read_only=True)
    language = json_of(LanguageModel, source="body.language", read_only=True, allow_null=True)
    quantization = serializers.CharField(source="body.quantization", read_only=True, allow_null=True)
    signature = serializers.CharField(source="body.signature", read_only=True, allow_null=True)
    signatures = serializers.ListField(source="body.signatures", child=json_of(Signature), read_only=True)
    notes = serializers.ListField(source="body.notes", child=serializers.CharField(), read_only=True)

    class Meta:
        model = ModelMetadata
        exclude = ("version", "body", "details")


class MetadataSerializer(MetadataGlanceSerializer):
    """What inspection found. `code` is the code included with the model, as uploaded."""

    weights = serializers.ListField(source="details.weights", child=json_of(TensorSpec), read_only=True)
    code = serializers.ListField(source="details.code", child=json_of(CodeFile), read_only=True)


class AliasMoveSerializer(serializers.ModelSerializer[AliasMove]):
    from_version = serializers.IntegerField(source="from_version.number", default=None, allow_null=True)
    to_version = serializers.IntegerField(source="to_version.number", default=None, allow_null=True)
    moved_by = serializers.EmailField(source="moved_by.email", default=None, allow_null=True)
    approved_by = serializers.EmailField(source="approved_by.email", default=None, allow_null=True)

    class Meta:
        model = AliasMove
        fields = ("id", "from_version", "to_version", "reason", "undoes", "moved_by", "approved_by", "moved_at")
        read_only_fields = fields


class AliasSerializer(serializers.ModelSerializer[Alias]):
    """`version` is the version's id, `number` its number within the model. Moves of a `protected` alias need the
    approval of a second member.
    """

    number = serializers.IntegerField(source="version.number", read_only=True)
    moves = AliasMoveSerializer(many=True, read_only=True)

    class Meta:
        model = Alias
        fields = ("id", "model", "name", "version", "number", "protected", "moves")
        read_only_fields = fields


class AliasRequestSerializer(serializers.ModelSerializer[AliasRequest]):
    """A move of a protected alias that waits for approval, or how it was decided. `version` is the id of the version
    that the alias is to point at, null once that is deleted.
    """

    alias = serializers.CharField(source="alias.name", read_only=True)
    alias_id = serializers.IntegerField(read_only=True)
    model = serializers.IntegerField(source="alias.model_id", read_only=True)
    version = serializers.IntegerField(source="to_version_id", read_only=True, allow_null=True)
    asked_by = serializers.EmailField(source="asked_by.email", default=None, allow_null=True, read_only=True)
    decided_by = serializers.EmailField(source="decided_by.email", default=None, allow_null=True, read_only=True)

    class Meta:
        model = AliasRequest
        fields = (
            *("id", "model", "alias", "alias_id", "version", "from_number", "to_number", "rolls_back", "session"),
            *("reason", "asked_by", "asked_at", "status", "decided_by", "decided_at", "decision"),
        )
        read_only_fields = fields


class VersionSerializer(serializers.ModelSerializer[ModelVersion]):
    """`status` goes from `pending` to `ready` or `refused`; a refusal has a code and a sentence."""

    sha256 = serializers.CharField(source="blob_id", read_only=True)
    size_bytes = serializers.IntegerField(source="blob.size_bytes", read_only=True)
    metadata: MetadataGlanceSerializer = MetadataSerializer(read_only=True, allow_null=True, default=None)
    aliases: serializers.SlugRelatedField[Alias] = serializers.SlugRelatedField(
        slug_field="name", many=True, read_only=True
    )
    created_by = serializers.EmailField(source="created_by.email", default=None, allow_null=True, read_only=True)

    class Meta:
        model = ModelVersion
        fields = (
            "id",
            "model",
            "number",
            "status",
            "refusal_code",
            "refusal",
            "filename",
            "sha256",
            "size_bytes",
            "description",
            "metadata",
            "aliases",
            "signature",
            "parent",
            "source_session",
            "source_step",
            "created_by",
            "created_at",
        )
        read_only_fields = fields


class VersionRowSerializer(VersionSerializer):
    """A version in a list: its `metadata` omits the weights and the code."""

    metadata = MetadataGlanceSerializer(read_only=True, allow_null=True, default=None)


class RegisteredModelSerializer(serializers.ModelSerializer[RegisteredModel]):
    """`aliases` maps each alias to the number of the version it points at; `readme` is Markdown."""

    team: serializers.SlugRelatedField[Team] = serializers.SlugRelatedField(slug_field="slug", read_only=True)
    tags = serializers.ListField(child=serializers.CharField(), read_only=True)
    versions = serializers.SerializerMethodField()
    aliases = serializers.SerializerMethodField()
    created_by = serializers.EmailField(source="created_by.email", default=None, allow_null=True, read_only=True)

    class Meta:
        model = RegisteredModel
        fields: tuple[str, ...] = (
            *("id", "team", "name", "description", "readme", "tags", "versions", "aliases", "created_by"),
            "created_at",
        )
        read_only_fields = fields

    def get_versions(self, model: RegisteredModel) -> list[int]:
        return sorted(version.number for version in model.versions.all())

    @extend_schema_field(serializers.DictField(child=serializers.IntegerField()))
    def get_aliases(self, model: RegisteredModel) -> dict[str, int]:
        return {alias.name: alias.version.number for alias in model.aliases.all()}


class RegisteredModelRowSerializer(RegisteredModelSerializer):
    """A model in a list: without its `readme`, which may be long."""

    class Meta(RegisteredModelSerializer.Meta):
        fields = tuple(name for name in RegisteredModelSerializer.Meta.fields if name != "readme")
        read_only_fields = fields


class DataSetSerializer(serializers.ModelSerializer[DataSet]):
    """`summary` holds the results of the checks once `status` is `ready`."""

    spec = json_of(DatasetSpec, read_only=True)
    summary = json_of(DatasetSummary, read_only=True, allow_null=True)
    team: serializers.SlugRelatedField[Team] = serializers.SlugRelatedField(slug_field="slug", read_only=True)
    sha256 = serializers.CharField(source="blob_id", read_only=True)
    size_bytes = serializers.IntegerField(source="blob.size_bytes", read_only=True)
    created_by = serializers.EmailField(source="created_by.email", default=None, allow_null=True, read_only=True)

    class Meta:
        model = DataSet
        fields = (
            "id",
            "team",
            "name",
            "description",
            "status",
            "refusal_code",
            "refusal",
            "filename",
            "sha256",
            "size_bytes",
            "spec",
            "summary",
            "created_by",
            "created_at",
        )
        read_only_fields = fields


class UploadSerializer(serializers.ModelSerializer[Upload]):
    """`received_bytes` is the offset of the next chunk; `sha256` is known once the upload is complete."""

    team: serializers.SlugRelatedField[Team] = serializers.SlugRelatedField(slug_field="slug", read_only=True)
    sha256 = serializers.CharField(source="blob_id", read_only=True, allow_null=True)

    class Meta:
        model = Upload
        fields = ("id", "team", "filename", "size_bytes", "received_bytes", "sha256", "created_at", "expires_at")
        read_only_fields = fields


# --- in --------------------------------------------------------------------------------------------------------------


class NewModelSerializer(TeamChoice):
    name = serializers.CharField(max_length=120)
    description = serializers.CharField(required=False, allow_blank=True, default="")
    tags = serializers.ListField(child=serializers.CharField(), required=False, default=list)


class ModelChangeSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=120, required=False)
    description = serializers.CharField(required=False, allow_blank=True)
    readme = serializers.CharField(required=False, allow_blank=True, help_text="Markdown. A section of model cards.")
    tags = serializers.ListField(child=serializers.CharField(), required=False)


class FileChoice(serializers.Serializer[Any]):
    """The file itself (multipart), or the id of a finished upload."""

    file = serializers.FileField(required=False, help_text="The file, in a multipart request.", allow_empty_file=True)
    upload = serializers.UUIDField(required=False, help_text="The id of a finished upload, instead of `file`.")
    filename = serializers.CharField(required=False, allow_blank=True, default="", max_length=255)


class NewVersionSerializer(FileChoice):
    __doc__ = f"""The file format is detected from its content.

    It may be {uploads_in_words()}.
    A file that contains code (Python files) requires that the token's member may upload code; otherwise 403,
    `model.code_not_allowed`.
    """

    model = serializers.IntegerField(help_text="The id of the registered model.")
    description = serializers.CharField(required=False, allow_blank=True, default="")
    # A serializer has an attribute of this name; DRF moves declared fields out of its way.
    parent = serializers.IntegerField(  # type: ignore[assignment]
        required=False, help_text="The id of the version this one was made from."
    )


class DescriptionSerializer(serializers.Serializer[Any]):
    description = serializers.CharField(allow_blank=True)


class SignatureChoiceSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=200, help_text="The name of one of the version's `metadata.signatures`.")


class NewDataSetSerializer(TeamChoice, FileChoice):
    name = serializers.CharField(max_length=120)
    description = serializers.CharField(required=False, allow_blank=True, default="")
    spec = json_of(
        DatasetSpec, help_text="How to read the file: kind, task, label, …. JSON text in a multipart request."
    )


class DataSetChangeSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=120, required=False)
    description = serializers.CharField(required=False, allow_blank=True)


class AliasMoveRequestSerializer(serializers.Serializer[Any]):
    model = serializers.IntegerField(help_text="The id of the registered model.")
    name = serializers.CharField(max_length=60, help_text="Such as `production`.")
    version = serializers.IntegerField(help_text="The id of the version to point at.")
    reason = serializers.CharField(required=False, allow_blank=True, default="")
    expected = serializers.IntegerField(
        required=False,
        help_text="The id of the version it should point at now. If it points at another, nothing is moved (409).",
    )


class AliasChangeSerializer(serializers.Serializer[Any]):
    protected = serializers.BooleanField(help_text="Whether moves need the approval of a second member.")


class AliasUndoSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(
        required=False, allow_blank=True, default="", max_length=500, help_text="For a request for approval."
    )


class AliasDecisionSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=500, help_text="For the audit trail, and for the one who asked.")


class NewUploadSerializer(TeamChoice):
    filename = serializers.CharField(max_length=255)
    size_bytes = serializers.IntegerField()
