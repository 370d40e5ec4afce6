from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("models", "0012_protected_aliases"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="modelversion",
            index=models.Index(
                condition=models.Q(("status", "pending")),
                fields=["check_expires_at"],
                name="version_pending",
            ),
        ),
        migrations.AddIndex(
            model_name="dataset",
            index=models.Index(
                condition=models.Q(("status", "pending")),
                fields=["check_expires_at"],
                name="dataset_pending",
            ),
        ),
    ]
