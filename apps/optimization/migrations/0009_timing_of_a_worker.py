"""How a worker measures: on which cores, with which priority, and how quiet its machine was."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("optimization", "0008_sessions_before")]

    operations = [
        migrations.AddField(model_name="worker", name="measuring_cores", field=models.JSONField(default=list)),
        migrations.AddField(model_name="worker", name="priority", field=models.CharField(blank=True, max_length=60)),
        migrations.AddField(model_name="worker", name="timing", field=models.JSONField(null=True)),
    ]
