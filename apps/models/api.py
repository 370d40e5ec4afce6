"""The store's API. Each method looks up rows visible to the user and calls the same service as the pages."""

from __future__ import annotations

from io import BytesIO
from typing import IO, Any, cast

from django.db.models import Prefetch, QuerySet
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins, parsers, status, viewsets
from rest_framework.decorators import action
from rest_framework.fields import BooleanField
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.models import Role, Team, User
from apps.accounts.requests import member
from apps.accounts.services import require_role
from apps.accounts.teams import team_for
from apps.api import FILE, FILE_RESPONSE, JSON_OR_FORM, example, row_of, validated_body
from apps.models import services
from apps.models.api_aliases import routes as alias_routes
from apps.models.api_bulk import BulkDataSets, BulkModels
from apps.models.api_cards import CardActions
from apps.models.columns import LIST_OF_DATASETS, LIST_OF_MODELS
from apps.models.download import blob_response, download_name
from apps.models.errors import UploadHeaderMissing, UploadUnknown
from apps.models.filters import DataSetFilter, ModelFilter, VersionFilter
from apps.models.models import Alias, DataSet, ModelMetadata, ModelVersion, RegisteredModel, Upload
from apps.models.serializers import (
    DataSetChangeSerializer,
    DataSetSerializer,
    DescriptionSerializer,
    ModelChangeSerializer,
    NewDataSetSerializer,
    NewModelSerializer,
    NewUploadSerializer,
    NewVersionSerializer,
    RegisteredModelRowSerializer,
    RegisteredModelSerializer,
    SignatureChoiceSerializer,
    UploadSerializer,
    VersionRowSerializer,
    VersionSerializer,
)

WITH_SESSIONS = OpenApiParameter(
    "with_sessions", bool, description="Also delete the sessions that use it, with their reports and files."
)


def _with_sessions(request: Request) -> bool:
    """Whether to delete sessions as well. Raises DRF's `ValidationError` for a value that is not a boolean."""
    return BooleanField().run_validation(request.query_params.get("with_sessions", False))


def _upload(user: User, team: Team, asked: dict[str, Any]) -> Upload | None:
    """The caller's own upload that `asked` names. Raises `PermissionDenied` below engineer, and `UploadUnknown`."""
    require_role(user, team, Role.ENGINEER)
    if "upload" not in asked:
        return None
    upload = Upload.objects.visible_to(user).filter(user=user, pk=asked["upload"]).first()
    if upload is None:
        raise UploadUnknown(field="upload")
    return upload


@extend_schema(tags=["models"])
@extend_schema_view(
    destroy=extend_schema(parameters=[WITH_SESSIONS]),
    create=extend_schema(
        request=NewModelSerializer,
        responses={201: RegisteredModelSerializer},
        examples=[
            example(
                "A classifier",
                {"name": "Fashion classifier", "description": "ResNet, 2.8 M parameters", "tags": ["vision"]},
            )
        ],
    ),
    partial_update=extend_schema(
        request=ModelChangeSerializer,
        responses=RegisteredModelSerializer,
        examples=[example("Other tags", {"tags": ["vision", "edge"]})],
    ),
)
class RegisteredModelViewSet(CardActions, mixins.ListModelMixin, mixins.RetrieveModelMixin, BulkModels):
    """Registered models: a name, a description, tags, and versions. A list leaves out their `readme`."""

    serializer_class = RegisteredModelSerializer
    queryset = RegisteredModel.objects.all()
    filterset_class = ModelFilter
    listing = LIST_OF_MODELS

    def get_queryset(self) -> QuerySet[RegisteredModel]:
        visible = RegisteredModel.objects.visible_to(self.request.user).select_related("team", "created_by")
        numbers = ModelVersion.objects.order_by().only("model_id", "number")
        aliases = Alias.objects.select_related("version").only("model_id", "name", "version__number")
        rows = visible.prefetch_related(Prefetch("versions", numbers)).prefetch_related(Prefetch("aliases", aliases))
        return rows.defer("readme") if self.action == "list" else rows

    def get_serializer_class(self) -> type[RegisteredModelSerializer]:
        return RegisteredModelRowSerializer if self.action == "list" else RegisteredModelSerializer

    def create(self, request: Request) -> Response:
        asked = validated_body(NewModelSerializer, request)
        team = team_for(member(request), asked.pop("team", None))
        model = services.register_model(team, member(request), **asked)
        return Response(self.get_serializer(model).data, status=status.HTTP_201_CREATED)

    def partial_update(self, request: Request, pk: str) -> Response:
        model = self.get_object()
        services.describe_model(model, member(request), **validated_body(ModelChangeSerializer, request))
        return Response(self.get_serializer(model).data)

    def destroy(self, request: Request, pk: str) -> Response:
        services.delete_model(self.get_object(), member(request), with_sessions=_with_sessions(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


@extend_schema(tags=["models"])
@extend_schema_view(
    destroy=extend_schema(parameters=[WITH_SESSIONS]),
    create=extend_schema(
        request={"multipart/form-data": NewVersionSerializer, "application/json": NewVersionSerializer},
        responses={201: VersionSerializer},
        examples=[
            example(
                "From a finished upload",
                {"model": 7, "upload": "0b2c7a3e-8a49-4a39-9d2e-0a4f5f3f0c11", "description": "Retrained in May"},
            )
        ],
    ),
    partial_update=extend_schema(
        request=DescriptionSerializer,
        responses=VersionSerializer,
        examples=[example("A better description", {"description": "Retrained in May, with night images"})],
    ),
)
class VersionViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[ModelVersion]):
    """Versions of models: one immutable file each. A new one is `pending` until a worker has checked it."""

    serializer_class = VersionSerializer
    parser_classes = JSON_OR_FORM
    queryset = ModelVersion.objects.all()
    filterset_class = VersionFilter
    ordering_fields = ("number", "created_at")

    def get_queryset(self) -> QuerySet[ModelVersion]:
        visible = ModelVersion.objects.visible_to(self.request.user).select_related("model__team", "blob", "created_by")
        metadata = ModelMetadata.objects.in_short() if self.action == "list" else ModelMetadata.objects.all()
        return visible.prefetch_related("aliases", Prefetch("metadata", metadata))

    def get_serializer_class(self) -> type[VersionSerializer]:
        return VersionRowSerializer if self.action == "list" else VersionSerializer

    def create(self, request: Request) -> Response:
        asked = validated_body(NewVersionSerializer, request)
        model = row_of(RegisteredModel.objects.visible_to(member(request)), "model", asked["model"])
        parent = row_of(self.get_queryset(), "parent", asked["parent"]) if "parent" in asked else None
        version = services.add_version(
            model,
            member(request),
            upload=_upload(member(request), model.team, asked),
            file=asked.get("file"),
            filename=asked["filename"],
            description=asked["description"],
            parent=parent,
        )
        return Response(self.get_serializer(version).data, status=status.HTTP_201_CREATED)

    def partial_update(self, request: Request, pk: str) -> Response:
        version = self.get_object()
        services.describe_version(version, member(request), **validated_body(DescriptionSerializer, request))
        return Response(self.get_serializer(version).data)

    def destroy(self, request: Request, pk: str) -> Response:
        services.delete_version(self.get_object(), member(request), with_sessions=_with_sessions(request))
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(
        request=SignatureChoiceSerializer,
        responses=VersionSerializer,
        examples=[example("Another function of a SavedModel", {"name": "serving_embeddings"})],
    )
    @action(detail=True, methods=["post"])
    def signature(self, request: Request, pk: str) -> Response:
        """Chooses a signature of the file. The version is pending until a worker has inspected it again."""
        version = services.choose_signature(
            self.get_object(), member(request), **validated_body(SignatureChoiceSerializer, request)
        )
        return Response(self.get_serializer(version).data)

    @extend_schema(responses=FILE_RESPONSE)
    @action(detail=True)
    def file(self, request: Request, pk: str) -> HttpResponseBase:
        """Downloads the file. `ETag` and `Repr-Digest` contain its SHA-256."""
        version = self.get_object()
        return blob_response(request._request, version.blob, download_name(version))


@extend_schema(tags=["data sets"])
@extend_schema_view(
    destroy=extend_schema(parameters=[WITH_SESSIONS]),
    create=extend_schema(
        request={"multipart/form-data": NewDataSetSerializer, "application/json": NewDataSetSerializer},
        responses={201: DataSetSerializer},
        examples=[
            example(
                "Arrays for a classifier",
                {
                    "name": "Fashion-MNIST test",
                    "upload": "0b2c7a3e-8a49-4a39-9d2e-0a4f5f3f0c11",
                    "spec": {"kind": "npz", "task": "classification", "label": "y"},
                },
            )
        ],
    ),
    partial_update=extend_schema(
        request=DataSetChangeSerializer,
        responses=DataSetSerializer,
        examples=[example("Another name", {"name": "Fashion-MNIST test, cleaned"})],
    ),
)
class DataSetViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, BulkDataSets):
    """Data sets for calibration and evaluation. A new one is `pending` until a worker has checked it."""

    serializer_class = DataSetSerializer
    parser_classes = JSON_OR_FORM
    queryset = DataSet.objects.all()
    filterset_class = DataSetFilter
    listing = LIST_OF_DATASETS

    def get_queryset(self) -> QuerySet[DataSet]:
        return DataSet.objects.visible_to(self.request.user).select_related("team", "blob", "created_by")

    def create(self, request: Request) -> Response:
        asked = validated_body(NewDataSetSerializer, request)
        team = team_for(member(request), asked.get("team"))
        dataset = services.add_dataset(
            team,
            member(request),
            asked["name"],
            asked["spec"],
            upload=_upload(member(request), team, asked),
            file=asked.get("file"),
            filename=asked["filename"],
            description=asked["description"],
        )
        return Response(self.get_serializer(dataset).data, status=status.HTTP_201_CREATED)

    def partial_update(self, request: Request, pk: str) -> Response:
        dataset = self.get_object()
        services.describe_dataset(dataset, member(request), **validated_body(DataSetChangeSerializer, request))
        return Response(self.get_serializer(dataset).data)

    def destroy(self, request: Request, pk: str) -> Response:
        services.delete_dataset(self.get_object(), member(request), with_sessions=_with_sessions(request))
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(responses=FILE_RESPONSE)
    @action(detail=True)
    def file(self, request: Request, pk: str) -> HttpResponseBase:
        """Downloads the file. `ETag` and `Repr-Digest` contain its SHA-256."""
        dataset = self.get_object()
        return blob_response(request._request, dataset.blob, dataset.filename)


class OctetStreamParser(parsers.BaseParser):
    """Passes the body on unread, so that it is never in memory as a whole."""

    media_type = FILE

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        return stream


@extend_schema(tags=["uploads"])
@extend_schema_view(
    create=extend_schema(
        request=NewUploadSerializer,
        responses={201: UploadSerializer},
        examples=[example("A model", {"filename": "resnet.onnx", "size_bytes": 11_160_000})],
    ),
)
class UploadViewSet(mixins.RetrieveModelMixin, viewsets.GenericViewSet[Upload]):
    """Resumable uploads: announce a file, send it in chunks, then name the upload in a new version or data set.

    `Upload-Offset` in each response is the offset of the next chunk. After a lost connection, request it with HEAD.
    """

    serializer_class = UploadSerializer
    queryset = Upload.objects.all()
    pagination_class = None
    filter_backends = []

    def get_queryset(self) -> QuerySet[Upload]:
        return Upload.objects.visible_to(self.request.user).filter(user=member(self.request)).select_related("team")

    def get_parsers(self) -> list[parsers.BaseParser]:
        if self.request is not None and self.request.method == "PATCH":
            return [OctetStreamParser()]
        return super().get_parsers()

    def create(self, request: Request) -> Response:
        asked = validated_body(NewUploadSerializer, request)
        team = team_for(member(request), asked.pop("team", None))
        upload = services.begin_upload(team, member(request), **asked)
        return self._standing(upload, status.HTTP_201_CREATED)

    def retrieve(self, request: Request, pk: str) -> Response:
        return self._standing(self.get_object())

    @extend_schema(
        request={FILE: OpenApiTypes.BINARY},
        parameters=[
            OpenApiParameter(
                "Upload-Offset", int, OpenApiParameter.HEADER, required=True, description="The offset of this chunk."
            )
        ],
        responses={200: UploadSerializer},
    )
    def partial_update(self, request: Request, pk: str) -> Response:
        """Appends a chunk. If the offset is wrong, the response is 409 with the right `Upload-Offset`."""
        upload = self.get_object()
        offset = _whole_header(request, "Upload-Offset", "the byte at which this chunk begins")
        announced_bytes = _whole_header(request, "Content-Length", "the number of bytes in the chunk")
        stream = cast("IO[bytes]", request.data) if announced_bytes else BytesIO()
        services.append_chunk(upload, offset, stream, announced_bytes=announced_bytes)
        if upload.received_bytes == upload.size_bytes:
            services.finish(upload)
        return self._standing(upload)

    def destroy(self, request: Request, pk: str) -> Response:
        services.abandon(self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)

    def handle_exception(self, exc: Exception) -> Response:
        response = super().handle_exception(exc)
        expected = getattr(exc, "context", {}).get("expected")
        if expected is not None:
            response["Upload-Offset"] = str(expected)
        return response

    def _standing(self, upload: Upload, code: int = status.HTTP_200_OK) -> Response:
        headers = {"Upload-Offset": str(upload.received_bytes), "Upload-Length": str(upload.size_bytes)}
        return Response(self.get_serializer(upload).data, status=code, headers={**headers, "Cache-Control": "no-store"})


LONGEST_NUMBER = 19
"""In digits: more than any size has, and few enough for Python to parse."""


def _whole_header(request: Request, header: str, meaning: str) -> int:
    value = request.headers.get(header, "")
    if not value.isdecimal() or len(value) > LONGEST_NUMBER:
        raise UploadHeaderMissing(header=header, meaning=meaning)
    return int(value)


routes = [
    ("models", RegisteredModelViewSet, "model"),
    ("versions", VersionViewSet, "version"),
    *alias_routes,
    ("datasets", DataSetViewSet, "dataset"),
    ("uploads", UploadViewSet, "upload"),
]
