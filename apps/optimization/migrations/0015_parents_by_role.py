"""A step may start from more than one model. Steps from before read only the one that `parent_key` names."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("optimization", "0014_chains_hold_the_parameters")]

    operations = [
        migrations.AddField(
            model_name="sessionstep",
            name="further_parents",
            field=models.JSONField(blank=True, default=dict),
        ),
    ]
