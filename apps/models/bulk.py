"""What can be done to several models or data sets at once. Each is checked and recorded as if it were the only one."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from apps.bulk import Act
from apps.models import dependents
from apps.models.datasets import delete_dataset
from apps.models.models import DataSet, RegisteredModel
from apps.models.services import delete_model


def _model_not_deletable(model: RegisteredModel) -> str:
    return _used_by(dependents.count(versions=model.versions.all()))


def _dataset_not_deletable(dataset: DataSet) -> str:
    return _used_by(dependents.count(datasets=[dataset]))


def _used_by(count: int) -> str:
    sentence = ngettext(
        "{count} session uses it. Delete those first, or it on its own page.",
        "{count} sessions use it. Delete those first, or it on its own page.",
        count,
    )
    return sentence.format(count=count) if count else ""


MODEL_ACTS: dict[str, Act[RegisteredModel]] = {
    "delete": Act(
        "delete",
        _("Delete"),
        _("deleted"),
        _("All versions, their files and their aliases go for good. The audit trail stays."),
        _model_not_deletable,
        delete_model,
        danger=True,
    )
}
DATASET_ACTS: dict[str, Act[DataSet]] = {
    "delete": Act(
        "delete",
        _("Delete"),
        _("deleted"),
        _("The files go for good. The audit trail stays."),
        _dataset_not_deletable,
        delete_dataset,
        danger=True,
    )
}
