from django.db import migrations, models

OF_THE_INSTALLATION = ("worker.unsteady", "breaker.opened", "room.low", "delivery.given_up")
NEVER_OF_A_TEAM = ("worker.unsteady", "breaker.opened")


def leave_what_can_happen(apps, schema_editor):
    """Channels of teams no longer name kinds of the installation, nor the operators' channels those of teams."""
    for channel in apps.get_model("notifications", "Channel").objects.all():
        if channel.team_id is None:
            kept = [kind for kind in channel.kinds if kind in OF_THE_INSTALLATION]
        else:
            kept = [kind for kind in channel.kinds if kind not in NEVER_OF_A_TEAM]
        if kept != channel.kinds:
            channel.kinds = kept
            channel.save(update_fields=["kinds"])


class Migration(migrations.Migration):
    dependencies = [
        ("notifications", "0007_titles_in_any_language"),
    ]

    operations = [
        migrations.AlterField(
            model_name="notification",
            name="kind",
            field=models.CharField(
                choices=[
                    ("session.started", "Session started"),
                    ("session.resumed", "Session resumed"),
                    ("session.cancelled", "Session cancelled"),
                    ("session.finished", "Session finished"),
                    ("session.undecided", "Needs a decision"),
                    ("budget.spent", "Budget spent without a result"),
                    ("session.failed", "Session failed"),
                    ("session.promoted", "Session promoted"),
                    ("session.promotion_rolled_back", "Promotion rolled back"),
                    ("alias.moved", "Alias moved"),
                    ("alias.moved_back", "Alias moved back"),
                    ("model.regressed", "Worse than the version before"),
                    ("model.decayed", "Worse than when promoted"),
                    ("approval.asked", "Approval asked"),
                    ("approval.decided", "Approval decided"),
                    ("comment.mentioned", "Mentioned in a comment"),
                    ("version.added", "Version added"),
                    ("upload.ready", "Upload ready"),
                    ("upload.refused", "Upload refused"),
                    ("queue.slow", "Long wait"),
                    ("session.slow", "Far slower than predicted"),
                    ("worker.lost", "Worker lost"),
                    ("worker.unsteady", "A worker measures badly"),
                    ("breaker.opened", "Paused after failures"),
                    ("room.low", "Disk or quota low"),
                    ("delivery.given_up", "Delivery given up"),
                ],
                max_length=40,
            ),
        ),
        migrations.RunPython(leave_what_can_happen, migrations.RunPython.noop),
    ]
