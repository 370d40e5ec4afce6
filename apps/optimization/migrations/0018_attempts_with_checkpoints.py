"""A step knows its last attempt that kept a checkpoint: those after it count."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("optimization", "0017_checkpoints")]

    operations = [
        migrations.AddField(
            model_name="sessionstep", name="advanced_at_attempt", field=models.PositiveIntegerField(default=0)
        ),
    ]
