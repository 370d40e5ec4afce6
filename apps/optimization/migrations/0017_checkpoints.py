"""A step has the file that a next attempt of it goes on from."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("models", "0009_metadata_without_columns"), ("optimization", "0016_collected_files")]

    operations = [
        migrations.AddField(
            model_name="sessionstep",
            name="checkpoint",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="checkpointed_steps",
                to="models.blob",
            ),
        ),
        migrations.AddField(
            model_name="sessionstep", name="checkpoint_of", field=models.CharField(blank=True, max_length=64)
        ),
    ]
