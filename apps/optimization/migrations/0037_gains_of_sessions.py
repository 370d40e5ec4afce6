"""Sessions keep how much faster and smaller their selected candidate is, so that lists can be ordered by it."""

from typing import Any

from django.db import migrations, models
from django.db.models import Case, F, FloatField, OuterRef, Q, Subquery, Value, When


def take_over(apps: Any, schema_editor: Any) -> None:
    """As `querysets.CandidateQuerySet.gains_of_selected` says."""
    selected = apps.get_model("optimization", "Candidate").objects.filter(session=OuterRef("pk"), status="selected")
    too_busy = Q(
        evaluation__step__result__latency__has_key="busy",
        evaluation__step__result__latency__busy=True,
    )
    known = Case(When(too_busy, then=Value(None)), default=F("evaluation__speedup"), output_field=FloatField())
    sessions = apps.get_model("optimization", "OptimizationSession").objects.filter(candidates__status="selected")
    sessions.update(
        speedup=Subquery(selected.values(known=known)[:1]),
        size_ratio=Subquery(selected.values("evaluation__size_ratio")[:1]),
    )


class Migration(migrations.Migration):
    dependencies = [("optimization", "0036_dismissals")]

    operations = [
        migrations.AddField("optimizationsession", "speedup", models.FloatField(editable=False, null=True)),
        migrations.AddField("optimizationsession", "size_ratio", models.FloatField(editable=False, null=True)),
        migrations.RunPython(take_over, migrations.RunPython.noop),
    ]
