from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("models", "0003_signatures_of_a_file"),
    ]

    operations = [
        migrations.AddField(
            model_name="modelmetadata",
            name="more",
            field=models.JSONField(default=dict),
        ),
    ]
