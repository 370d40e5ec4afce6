"""The history that predictions start from: fingerprints of ended sessions, and what their candidates showed."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("optimization", "0023_plan_edits"),
    ]

    operations = [
        migrations.AddField(
            model_name="pipelinesettings",
            name="share_experience",
            field=models.BooleanField(
                default=False,
                help_text="Let every team's predictions start from the measurements of all teams, not only from its own.",
            ),
        ),
        migrations.CreateModel(
            name="SessionFingerprint",
            fields=[
                (
                    "session",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="fingerprint",
                        serialize=False,
                        to="optimization.optimizationsession",
                    ),
                ),
                ("body", models.JSONField()),
                ("parameters", models.BigIntegerField()),
                ("measured_at", models.DateTimeField()),
                ("libraries", models.JSONField(default=dict)),
            ],
            options={
                "indexes": [models.Index(fields=["-measured_at", "session"], name="fingerprint_lately")],
            },
        ),
        migrations.CreateModel(
            name="Experience",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(max_length=20)),
                ("kinds", models.JSONField()),
                ("family", models.CharField(max_length=120)),
                ("chain", models.JSONField()),
                ("tables", models.JSONField()),
                ("predicted", models.JSONField()),
                ("speedup", models.JSONField(null=True)),
                ("size_ratio", models.FloatField()),
                ("drop", models.JSONField()),
                ("minutes", models.FloatField(null=True)),
                ("verdict", models.CharField(max_length=12)),
                (
                    "fingerprint",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="experiences",
                        to="optimization.sessionfingerprint",
                    ),
                ),
            ],
            options={
                "ordering": ("key",),
                "constraints": [
                    models.UniqueConstraint(fields=("fingerprint", "key"), name="experience_key_unique_in_session")
                ],
            },
        ),
    ]
