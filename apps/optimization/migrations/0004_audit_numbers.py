from collections import Counter

from django.db import migrations, models


def count(apps, schema_editor):
    """Gives the events that are there their team's numbers, in the chain's order."""
    events = apps.get_model("optimization", "AuditEvent").objects.order_by("sequence")
    numbers, rows = Counter(), []
    for event in events.exclude(team=None).only("pk", "team_id").iterator(chunk_size=2000):
        numbers[event.team_id] += 1
        event.number = numbers[event.team_id]
        rows.append(event)
        if len(rows) == 2000:
            events.bulk_update(rows, ["number"])
            rows = []
    events.bulk_update(rows, ["number"])


class Migration(migrations.Migration):
    dependencies = [
        ("optimization", "0003_long_lists"),
    ]

    operations = [
        migrations.AddField(
            model_name="auditevent",
            name="number",
            field=models.PositiveBigIntegerField(editable=False, null=True),
        ),
        migrations.RunPython(count, migrations.RunPython.noop, elidable=True),
        migrations.AddConstraint(
            model_name="auditevent",
            constraint=models.UniqueConstraint(fields=("team", "number"), name="audit_number_unique_in_team"),
        ),
    ]
