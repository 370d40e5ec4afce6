import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("models", "0014_edited_cards"),
        ("optimization", "0033_circuit_breakers"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="SessionTemplate",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=80)),
                ("is_default", models.BooleanField(default=False)),
                ("taught", models.BooleanField(default=False)),
                ("criteria_body", models.JSONField()),
                ("edits_body", models.JSONField(default=dict)),
                ("make_anew", models.BooleanField(default=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                (
                    "created_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "criteria_set",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="optimization.criteriaset",
                    ),
                ),
                (
                    "dataset",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to="models.dataset"
                    ),
                ),
                (
                    "model",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="session_templates",
                        to="models.registeredmodel",
                    ),
                ),
                (
                    "student",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="models.modelversion",
                    ),
                ),
            ],
            options={
                "ordering": ("-is_default", "name"),
                "constraints": [
                    models.UniqueConstraint(fields=("model", "name"), name="template_name_unique_in_model"),
                    models.UniqueConstraint(
                        condition=models.Q(("is_default", True)), fields=("model",), name="one_default_template"
                    ),
                ],
            },
        ),
    ]
