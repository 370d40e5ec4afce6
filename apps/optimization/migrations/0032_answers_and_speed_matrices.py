import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("models", "0012_protected_aliases"),
        ("optimization", "0031_shared_reports_comments_and_operators_page"),
    ]

    operations = [
        migrations.AlterField(
            model_name="sessionstep",
            name="kind",
            field=models.CharField(
                choices=[
                    ("analyse", "Analyse"),
                    ("plan", "Plan"),
                    ("optimize", "Optimize"),
                    ("evaluate", "Evaluate"),
                    ("refine", "Refine"),
                    ("package", "Package"),
                    ("matrix", "Matrix"),
                ],
                max_length=10,
            ),
        ),
        migrations.CreateModel(
            name="KeptAnswers",
            fields=[
                (
                    "step",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="answers",
                        serialize=False,
                        to="optimization.sessionstep",
                    ),
                ),
                (
                    "blob",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="answers", to="models.blob"
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "kept answers",
            },
        ),
    ]
