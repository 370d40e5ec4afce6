"""What can be done to several data sets at once. Each is checked and recorded as if it were the only one."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from apps.bulk import Act
from apps.models import dependents
from apps.models.datasets import delete_dataset
from apps.models.models import DataSet


def _not_deletable(dataset: DataSet) -> str:
    count = dependents.count(datasets=[dataset])
    sentence = ngettext(
        "{count} session uses it. Delete those first, or it on its own page.",
        "{count} sessions use it. Delete those first, or it on its own page.",
        count,
    )
    return sentence.format(count=count) if count else ""


DATASET_ACTS: dict[str, Act[DataSet]] = {
    "delete": Act(
        "delete",
        _("Delete"),
        _("deleted"),
        _("The files go for good. The audit trail stays."),
        _not_deletable,
        delete_dataset,
        danger=True,
    )
}
