"""The columns of models, data sets and approvals, in lists and in CSV files."""

from __future__ import annotations

from django.db.models import Count, OuterRef, Subquery
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _

from apps.listings import Column, Kind, Listing, offer
from apps.models.models import AliasRequest, DataSet, ModelVersion, RegisteredModel
from apps.tables import Columns


def _newest(model: RegisteredModel) -> ModelVersion | None:
    return next(iter(model.versions.all()), None)


def _format(model: RegisteredModel) -> str | None:
    metadata = getattr(_newest(model), "metadata", None)
    return metadata.format if metadata else None


def _parameters(model: RegisteredModel) -> int | None:
    metadata = getattr(_newest(model), "metadata", None)
    return metadata.parameters if metadata else None


def _bytes(model: RegisteredModel) -> int | None:
    newest = _newest(model)
    return newest.blob.size_bytes if newest else None


MODELS: Columns[RegisteredModel] = {
    "id": lambda model: model.pk,
    "name": lambda model: model.name,
    "description": lambda model: model.description,
    "tags": lambda model: model.tags,
    "versions": lambda model: len(model.versions.all()),
    "newest_version": lambda model: newest.number if (newest := _newest(model)) else None,
    "newest_status": lambda model: newest.status if (newest := _newest(model)) else None,
    "format": _format,
    "parameters": _parameters,
    "size_bytes": _bytes,
    "aliases": lambda model: [f"{alias.name}=v{alias.version.number}" for alias in model.aliases.all()],
    "created_at": lambda model: model.created_at,
}
DATASETS: Columns[DataSet] = {
    "id": lambda dataset: dataset.pk,
    "name": lambda dataset: dataset.name,
    "description": lambda dataset: dataset.description,
    "kind": lambda dataset: dataset.spec.get("kind"),
    "task": lambda dataset: dataset.spec.get("task"),
    "examples": lambda dataset: (dataset.summary or {}).get("examples"),
    "status": lambda dataset: dataset.status,
    "size_bytes": lambda dataset: dataset.blob.size_bytes,
    "created_at": lambda dataset: dataset.created_at,
}

APPROVALS: Columns[AliasRequest] = {
    "id": lambda row: row.pk,
    "model": lambda row: row.alias.model.name,
    "alias": lambda row: row.alias.name,
    "from_version": lambda row: row.from_number,
    "to_version": lambda row: row.to_number,
    "status": lambda row: row.status,
    "asked_by": lambda row: row.asked_by,
    "asked_at": lambda row: row.asked_at,
    "reason": lambda row: row.reason,
    "decided_by": lambda row: row.decided_by,
    "decided_at": lambda row: row.decided_at,
    "decision": lambda row: row.decision,
}

_versions = ModelVersion.objects.filter(model=OuterRef("pk"))
_number_of_versions = Subquery(_versions.order_by().values("model").annotate(number=Count("pk")).values("number"))


def _of_newest(field: str) -> Subquery:
    return Subquery(_versions.order_by("-number").values(field)[:1])


LIST_OF_MODELS = offer(
    Listing(
        "models",
        "models:model-list",
        "model-results",
        (
            Column("name", _("Model"), ordering="name"),
            Column(
                "newest",
                _("Newest version"),
                ordering="newest_version_at",
                by=(_of_newest("created_at"),),
                kind=Kind.TIME,
            ),
            Column(
                "versions",
                _("Versions"),
                usual=False,
                ordering="versions",
                by=(Coalesce(_number_of_versions, 0),),
                kind=Kind.NUMBER,
            ),
            Column("format", _("Format"), usual=False, ordering="model_format", by=(_of_newest("metadata__format"),)),
            Column(
                "parameters",
                _("Parameters"),
                ordering="parameters",
                by=(_of_newest("metadata__parameters"),),
                kind=Kind.NUMBER,
            ),
            Column("size", _("Size"), ordering="size_bytes", by=(_of_newest("blob__size_bytes"),), kind=Kind.NUMBER),
            Column("aliases", _("Aliases")),
            Column("tags", _("Tags")),
            Column("created", _("Created"), usual=False, ordering="created_at", kind=Kind.TIME),
        ),
        usual="name",
    )
)
LIST_OF_DATASETS = offer(
    Listing(
        "datasets",
        "models:dataset-list",
        "dataset-results",
        (
            Column("name", _("Data set"), ordering="name"),
            Column("status", _("Status"), ordering="status"),
            Column("kind", _("Kind"), ordering="kind", by=("spec__kind",)),
            Column("task", _("Task"), ordering="task", by=("spec__task",)),
            Column("examples", _("Examples"), ordering="examples", by=("summary__examples",), kind=Kind.NUMBER),
            Column("size", _("Size"), ordering="size_bytes", by=("blob__size_bytes",), kind=Kind.NUMBER),
            Column("added", _("Added"), ordering="created_at", kind=Kind.TIME),
            Column("added_by", _("Added by"), usual=False, ordering="created_by", by=("created_by__email",)),
        ),
        usual="name",
    )
)
LIST_OF_APPROVALS = offer(
    Listing(
        "approvals",
        "models:approval-list",
        "decided",
        (
            Column("alias", _("Alias"), ordering="alias", by=("alias__model__name", "alias__name")),
            Column("move", _("Move"), ordering="to_number", kind=Kind.NUMBER),
            Column("asked_by", _("Asked by"), ordering="asked_by", by=("asked_by__email",)),
            Column("decision", _("Decision"), ordering="status"),
            Column("decided_by", _("By"), ordering="decided_by", by=("decided_by__email",)),
            Column("when", _("When"), ordering="decided_at", kind=Kind.TIME),
            Column("why", _("Why")),
        ),
        usual="-decided_at",
    )
)
