"""What a member changed about a session's plan is frozen with the session."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("optimization", "0022_paused_queues"),
    ]

    operations = [
        migrations.AddField(
            model_name="optimizationsession",
            name="edits_body",
            field=models.JSONField(default=dict, editable=False),
        ),
    ]
