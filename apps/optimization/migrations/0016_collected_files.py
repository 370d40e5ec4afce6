"""A step whose file its session let go says when, so that the file is not taken for lost."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("optimization", "0015_parents_by_role")]

    operations = [
        migrations.AddField(model_name="sessionstep", name="collected_at", field=models.DateTimeField(null=True)),
    ]
