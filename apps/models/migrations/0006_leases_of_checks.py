"""The check of a file is claimed with a lease, as a step is."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("models", "0005_store_quotas"),
    ]

    operations = [
        migrations.AddField(
            model_name="dataset",
            name="check_asked_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="dataset",
            name="check_attempts",
            field=models.PositiveIntegerField(default=0, editable=False),
        ),
        migrations.AddField(
            model_name="dataset",
            name="check_claim",
            field=models.UUIDField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="dataset",
            name="check_expires_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="dataset",
            name="check_not_before",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="modelversion",
            name="check_asked_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="modelversion",
            name="check_attempts",
            field=models.PositiveIntegerField(default=0, editable=False),
        ),
        migrations.AddField(
            model_name="modelversion",
            name="check_claim",
            field=models.UUIDField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="modelversion",
            name="check_expires_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="modelversion",
            name="check_not_before",
            field=models.DateTimeField(editable=False, null=True),
        ),
    ]
