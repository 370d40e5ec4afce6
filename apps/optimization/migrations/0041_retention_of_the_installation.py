import django.core.validators
from django.db import migrations, models


def days(help_text):
    return models.PositiveIntegerField(
        blank=True, help_text=help_text, null=True, validators=[django.core.validators.MinValueValidator(1)]
    )


class Migration(migrations.Migration):
    dependencies = [("optimization", "0040_loss_verdicts")]

    operations = [
        migrations.AddField(
            model_name="pipelinesettings",
            name="artifact_days",
            field=days(
                "Days to keep candidates' files of every team, other than winning artifacts. Empty: as each team says."
            ),
        ),
        migrations.AddField(
            model_name="pipelinesettings",
            name="log_days",
            field=days("Days to keep the log of every team's sessions. Empty: as each team says."),
        ),
        migrations.AddField(
            model_name="pipelinesettings",
            name="session_days",
            field=days("Days to keep whole sessions of every team, with report and package. Empty: as each team says."),
        ),
    ]
