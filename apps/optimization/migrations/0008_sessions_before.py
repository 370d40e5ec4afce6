"""How many sessions had been judged on the data set when a session started."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("optimization", "0007_own_time")]

    operations = [
        migrations.AddField(
            model_name="optimizationsession",
            name="sessions_before",
            field=models.PositiveIntegerField(editable=False, null=True),
        ),
    ]
