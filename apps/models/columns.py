"""The columns of models and data sets in a CSV file."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from apps.models.models import DataSet, ModelVersion, RegisteredModel
from apps.tables import Choice, Columns, offer


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

offer(
    "models",
    Choice("newest", _("Newest version")),
    Choice("versions", _("Versions"), usual=False),
    Choice("format", _("Format"), usual=False),
    Choice("parameters", _("Parameters")),
    Choice("size", _("Size")),
    Choice("aliases", _("Aliases")),
    Choice("tags", _("Tags")),
    Choice("created", _("Created"), usual=False),
)
offer(
    "datasets",
    Choice("status", _("Status")),
    Choice("kind", _("Kind")),
    Choice("task", _("Task")),
    Choice("examples", _("Examples")),
    Choice("size", _("Size")),
    Choice("added", _("Added")),
    Choice("added_by", _("Added by"), usual=False),
)
