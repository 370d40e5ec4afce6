"""A session's own time, its steps' earlier runs, and outcomes that say that nothing is known."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import migrations, models

ENDED = ("completed", "failed", "cancelled")


def count_own_time(apps: Any, schema_editor: Any) -> None:
    """Of sessions that have ended, by the last run of each of their steps: earlier ones were not kept."""
    sessions = apps.get_model("optimization", "OptimizationSession")
    steps = apps.get_model("optimization", "SessionStep")
    for pk in sessions.objects.filter(status__in=ENDED).values_list("pk", flat=True).iterator():
        ran = steps.objects.filter(session_id=pk, started_at__isnull=False, finished_at__isnull=False)
        spans = list(ran.order_by("started_at").values_list("started_at", "finished_at"))
        sessions.objects.filter(pk=pk).update(worked_s=covered_s(spans))


def covered_s(spans: list[tuple[datetime, datetime]]) -> float:
    """Seconds that `spans`, in order of their begin, cover together."""
    total, covered_to = 0.0, None
    for begin, end in spans:
        start = begin if covered_to is None else max(begin, covered_to)
        total += max(0.0, (end - start).total_seconds())
        covered_to = end if covered_to is None else max(covered_to, end)
    return total


class Migration(migrations.Migration):
    dependencies = [("optimization", "0006_fault_of_a_step")]

    operations = [
        migrations.AddField(
            model_name="optimizationsession",
            name="worked_s",
            field=models.FloatField(default=0.0, editable=False),
        ),
        migrations.AddField(
            model_name="sessionstep",
            name="earlier_runs",
            field=models.JSONField(default=list),
        ),
        migrations.AlterField(
            model_name="optimizationsession",
            name="outcome",
            field=models.CharField(
                blank=True,
                choices=[
                    ("improved", "Improved"),
                    ("unchanged", "Unchanged"),
                    ("not_measured", "Not measured"),
                    ("inconclusive", "Inconclusive"),
                ],
                editable=False,
                max_length=20,
            ),
        ),
        migrations.RunPython(count_own_time, migrations.RunPython.noop),
    ]
