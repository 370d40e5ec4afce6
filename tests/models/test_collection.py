"""Tidying up, and the command that does it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.utils import timezone

from apps.accounts.models import User
from apps.models import messages, services
from apps.models.collection import collect
from apps.models.models import Blob, DataSet, InspectionStatus, ModelVersion, Upload
from apps.models.storage import put_stream

pytestmark = pytest.mark.django_db


def test_one_round_tidies_everything(
    make_version: Callable[..., ModelVersion], dataset: DataSet, engineer: User, monkeypatch
):
    sent: list[tuple[str, int]] = []
    monkeypatch.setattr(messages, "send_version", lambda pk: sent.append(("version", pk)))
    monkeypatch.setattr(messages, "send_dataset", lambda pk: sent.append(("dataset", pk)))
    fresh, lost = (make_version(size, status=InspectionStatus.PENDING) for size in (2, 3))
    hours_ago = timezone.now() - timedelta(hours=2)
    ModelVersion.objects.filter(pk=lost.pk).update(created_at=hours_ago)
    DataSet.objects.filter(pk=dataset.pk).update(created_at=hours_ago)
    upload = services.begin_upload(dataset.team, engineer, "f", 5)
    Upload.objects.filter(pk=upload.pk).update(expires_at=hours_ago)
    put_stream([b"unused"])
    Blob.objects.update(touched_at=hours_ago)
    done = collect()
    assert (done.uploads, done.blobs, done.checks_sent) == (1, 1, 2)
    assert sent == [("version", lost.pk), ("dataset", dataset.pk)]
    assert fresh.blob in Blob.objects.all()


def test_the_command_says_what_it_did():
    said = StringIO()
    call_command("collect", stdout=said)
    assert said.getvalue() == "Removed 0 uploads and 0 files; sent 0 checks again.\n"
