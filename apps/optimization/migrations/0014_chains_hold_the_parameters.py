"""A candidate's parameters stand in its chain."""

from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("optimization", "0013_chains")]

    operations = [migrations.RemoveField(model_name="candidate", name="parameters")]
