"""A session may have a student: another model that learns from the one that it optimizes."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("models", "0009_metadata_without_columns"), ("optimization", "0019_curves")]

    operations = [
        migrations.AddField(
            model_name="optimizationsession",
            name="student",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="taught_in",
                to="models.modelversion",
            ),
        ),
    ]
