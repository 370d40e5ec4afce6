"""A team with an engineer, a model and a data set that were checked: printed as JSON, for the member of `system`."""

import json

import django

django.setup()

from apps.accounts.models import Membership, Role, Team, TokenScope  # noqa: E402
from apps.accounts.services import create_token  # noqa: E402
from apps.models.storage import put_stream  # noqa: E402
from tests.optimization import material  # noqa: E402
from tests.optimization.conftest import make_dataset, make_version  # noqa: E402
from tests.people import made_person  # noqa: E402

team = Team.objects.create(name="Vision", slug="vision")
person = made_person("emil@example.org", team, Role.ENGINEER)
version, dataset = make_version(team, person), make_dataset(team, person)
for row, content in ((version, material.onnx_bytes()), (dataset, b"the data")):
    row.blob = put_stream([content])
    row.save(update_fields=["blob"])
Membership.objects.filter(user=person).update(may_upload_code=True)
_, token = create_token(person, name="faults", scope=TokenScope.WRITE, days=1)
print(json.dumps({"token": token, "version": version.pk, "dataset": dataset.pk}))
