"""When the bytes of a file were found missing or changed."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("models", "0006_leases_of_checks"),
    ]

    operations = [
        migrations.AddField(
            model_name="blob",
            name="damaged_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
    ]
