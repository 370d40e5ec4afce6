"""A report points to the step that made it, instead of holding a copy of the step's result."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("optimization", "0009_timing_of_a_worker")]

    operations = [
        migrations.AddField(
            model_name=report,
            name="step",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="optimization.sessionstep",
            ),
        )
        for report in ("analysisreport", "evaluationreport")
    ] + [
        # So that the way back has a column to fill.
        migrations.AlterField(model_name=report, name="body", field=models.JSONField(null=True))
        for report in ("analysisreport", "evaluationreport")
    ]
