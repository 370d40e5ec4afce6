"""How many sessions had been judged on the data set when a session started."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("optimization", "0006_fault_of_a_step")]

    operations = [
        migrations.AddField(
            model_name="optimizationsession",
            name="sessions_before",
            field=models.PositiveIntegerField(editable=False, null=True),
        ),
    ]
