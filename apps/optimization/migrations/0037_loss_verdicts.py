from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("optimization", "0036_dismissals")]

    operations = [
        migrations.AddField(
            model_name="experience",
            name="loss_verdict",
            field=models.CharField(blank=True, default="", max_length=12),
        ),
    ]
