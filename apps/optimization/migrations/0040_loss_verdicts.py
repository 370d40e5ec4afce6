from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("optimization", "0039_trials_of_searches")]

    operations = [
        migrations.AddField(
            model_name="experience",
            name="loss_verdict",
            field=models.CharField(blank=True, default="", max_length=12),
        ),
    ]
