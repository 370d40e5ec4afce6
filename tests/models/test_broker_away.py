"""A broker that cannot be reached while a file comes in: nothing is lost, and the member sees no error."""

from __future__ import annotations

from datetime import timedelta

import dramatiq
import pytest
from django.utils import timezone
from redis.exceptions import ConnectionError as RedisAway

from apps.accounts.models import Team, User
from apps.models import services
from apps.models.collection import LOST_AFTER, collect
from apps.models.models import DataSet, ModelVersion, RegisteredModel
from tests.models.conftest import SPEC, upload_of
from tests.optimization import crank

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_file_that_came_while_the_broker_was_away_is_checked_later(
    team: Team,
    engineer: User,
    model: RegisteredModel,
    onnx_bytes: bytes,
    npz_bytes: bytes,
    monkeypatch: pytest.MonkeyPatch,
):
    def away(*message: object, **options: object) -> None:
        raise RedisAway("connection refused")

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(dramatiq.get_broker(), "enqueue", away)
        version = services.add_version(model, engineer, file=upload_of(onnx_bytes))
        dataset = services.add_dataset(team, engineer, "Test images", SPEC, file=upload_of(npz_bytes, "test.npz"))
    assert version.pending
    assert dataset.pending

    long_ago = timezone.now() - LOST_AFTER - timedelta(minutes=1)
    ModelVersion.objects.update(created_at=long_ago)
    DataSet.objects.update(created_at=long_ago)
    assert collect().checks_sent == 2
    sent = [(message.actor_name, message.args) for message in crank.messages("checks")]
    assert sent == [("inspect_version", (version.pk,)), ("inspect_dataset", (dataset.pk,))]
