"""New versions of the built-in profiles with a default limit for metrics without a fixed scale.

Profiles that operators have edited stay as they are, and so does every older version.
"""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

DEFAULTS = {"balanced": 0.02, "smallest": 0.02, "fastest": 0.02, "safest": 0.005}
POINTS = {"balanced": 1.0, "smallest": 1.0, "fastest": 1.0, "safest": 0.2}


def renew(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    criteria_set = apps.get_model("optimization", "CriteriaSet")
    default_criteria = apps.get_model("optimization", "DefaultCriteria")
    for row in criteria_set.objects.filter(team=None, name__in=DEFAULTS, version=1, current=True):
        limits = row.body.get("constraints", {})
        if "default_rise" in limits or limits.get("max_metric_drop_points") != POINTS[row.name]:
            continue
        criteria_set.objects.filter(pk=row.pk).update(current=False)
        new = criteria_set.objects.create(
            team=None,
            name=row.name,
            version=2,
            description=row.description,
            body={**row.body, "constraints": {**limits, "default_rise": DEFAULTS[row.name]}},
        )
        default_criteria.objects.filter(criteria_set_id=row.pk).update(criteria_set_id=new.pk)


class Migration(migrations.Migration):
    dependencies = [("optimization", "0026_a_step_that_refines")]

    operations = [migrations.RunPython(renew, migrations.RunPython.noop)]
