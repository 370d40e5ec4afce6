"""What a failed step failed of, where it was not the work itself."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("optimization", "0005_retention")]

    operations = [
        migrations.AddField(
            model_name="sessionstep",
            name="fault",
            field=models.CharField(
                blank=True,
                choices=[
                    ("infrastructure", "Infrastructure"),
                    ("memory", "Memory"),
                    ("crash", "Crash"),
                    ("original", "Original"),
                ],
                max_length=20,
            ),
        ),
    ]
