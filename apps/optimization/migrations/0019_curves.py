"""A step keeps the curves of what it measured while it trained."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("optimization", "0018_attempts_with_checkpoints")]

    operations = [
        migrations.AddField(model_name="sessionstep", name="curves", field=models.JSONField(blank=True, default=dict)),
    ]
