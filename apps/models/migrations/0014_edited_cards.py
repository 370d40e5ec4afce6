import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("models", "0013_indexes_of_pending_checks"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="EditedCard",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("intended_use", models.TextField(blank=True)),
                ("training_data", models.TextField(blank=True)),
                ("limitations", models.TextField(blank=True)),
                ("ethical_considerations", models.TextField(blank=True)),
                ("contacts", models.TextField(blank=True)),
                ("revision", models.PositiveIntegerField(default=0)),
                ("edited_at", models.DateTimeField(null=True)),
                (
                    "edited_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "model",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE, related_name="card", to="models.registeredmodel"
                    ),
                ),
            ],
        ),
    ]
