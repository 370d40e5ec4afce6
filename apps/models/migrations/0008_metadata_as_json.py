from django.db import migrations, models

COLUMNS = ("format", "parameters", "size_bytes")
SHORT = (
    *COLUMNS,
    *("opset", "producer", "inputs", "outputs", "operators", "weight_dtypes", "language", "quantization"),
    *("signature", "signatures"),
)
LONG = ("weights", "code")


def gather(apps, schema_editor):
    """One JSON value for each summary, in place of a column for each of its fields."""
    rows = apps.get_model("models", "ModelMetadata").objects
    for row in rows.iterator(chunk_size=500):
        body = {**row.more, **{name: getattr(row, name) for name in SHORT}}
        details = {name: getattr(row, name) for name in LONG}
        rows.filter(pk=row.pk).update(body=body, details=details)


def spread(apps, schema_editor):
    rows = apps.get_model("models", "ModelMetadata").objects
    for row in rows.iterator(chunk_size=500):
        own = {name: row.body[name] for name in SHORT if name not in COLUMNS}
        more = {name: value for name, value in row.body.items() if name not in SHORT}
        cut = {name: own[name] and own[name][:120] for name in ("producer", "quantization")}
        rows.filter(pk=row.pk).update(**{**own, **cut, **row.details, "more": more})


class Migration(migrations.Migration):
    dependencies = [
        ("models", "0007_damaged_files"),
    ]

    operations = [
        migrations.AddField("modelmetadata", "body", models.JSONField(default=dict), preserve_default=False),
        migrations.AddField("modelmetadata", "details", models.JSONField(default=dict)),
        # Fields that a reversal adds again need a default for the rows there are.
        *(
            migrations.AlterField("modelmetadata", name, models.JSONField(default=default))
            for name, default in (("inputs", list), ("outputs", list), ("operators", dict))
        ),
        migrations.RunPython(gather, spread),
    ]
