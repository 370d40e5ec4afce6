"""No report is without its step, and none has a copy of its result."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models

REPORTS = ("analysisreport", "evaluationreport")


class Migration(migrations.Migration):
    dependencies = [("optimization", "0011_reports_point_to_their_steps")]

    operations = [
        migrations.AlterField(
            model_name=report,
            name="step",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="+", to="optimization.sessionstep"
            ),
        )
        for report in REPORTS
    ] + [migrations.RemoveField(model_name=report, name="body") for report in REPORTS]
