from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0006_saved_filters_and_list_columns"),
    ]

    operations = [
        migrations.AddField(
            model_name="user",
            name="tour",
            field=models.CharField(blank=True, default="", editable=False, max_length=10),
        ),
        migrations.AddField(
            model_name="user",
            name="tour_began_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
    ]
