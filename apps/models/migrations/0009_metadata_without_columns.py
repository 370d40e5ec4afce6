from django.db import migrations

NAMES = (
    *("more", "weights", "code", "opset", "producer", "inputs", "outputs", "operators", "weight_dtypes", "language"),
    *("quantization", "signature", "signatures"),
)


class Migration(migrations.Migration):
    dependencies = [
        ("models", "0008_metadata_as_json"),
    ]

    operations = [migrations.RemoveField("modelmetadata", name) for name in NAMES]
