"""The profiles every installation starts with become rows, which operators may edit."""

from __future__ import annotations

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from apps.agents.contracts.criteria import PROFILES

DESCRIPTIONS = {
    "balanced": "Faster and smaller alike, with at most a point of accuracy lost.",
    "smallest": "The smallest file, with at most a point of accuracy lost. It may be slower than the original.",
    "fastest": "The lowest latency, with at most a point of accuracy lost.",
    "safest": "Hardly any loss, and only what is proven.",
}


def install(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    criteria_set = apps.get_model("optimization", "CriteriaSet")
    for name, criteria in PROFILES.items():
        criteria_set.objects.get_or_create(
            team=None,
            name=name,
            version=1,
            defaults={"body": criteria.model_dump(mode="json"), "description": DESCRIPTIONS[name]},
        )


class Migration(migrations.Migration):
    dependencies = [("optimization", "0001_initial")]

    operations = [migrations.RunPython(install, migrations.RunPython.noop)]
