from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("optimization", "0029_log_ids_and_forecasts"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="optimizationsession",
            index=models.Index(
                condition=models.Q(("status__in", ["queued", "running"])),
                fields=["status"],
                name="session_under_way",
            ),
        ),
    ]
