"""Speed by batch size and threads: asked for over the API, measured by a real child, shown on the report."""

from __future__ import annotations

from typing import Any

import onnx
import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.agents.contracts.state import CandidateStatus, Outcome, Phase, Status, StepKind
from apps.audit.models import AuditEvent
from apps.models.models import Blob
from apps.models.storage import put_stream
from apps.optimization.models import Candidate, OptimizationSession, SessionStep
from apps.optimization.outcomes import keep_report
from lathe.testing.data_sets import npz
from tests.door import API, Door, quick, told
from tests.optimization import crank
from tests.optimization.test_real_sessions import features, network
from tests.portal.world import report_body

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]
LINK: dict[str, Any] = {"technique": "onnx-dynamic-int8", "parameters": {}, "title": "8-bit weights"}


def another_file() -> Blob:
    proto = onnx.load_from_string(network((16,), 4))
    proto.producer_name = "candidate"
    return put_stream([proto.SerializeToString()])


@pytest.fixture
def finished(door: Door) -> OptimizationSession:
    """A session as its end leaves it, with another file of the same network as the delivered candidate."""
    version = door.model(network((16,), 4), "net.onnx")
    dataset = door.data(npz(x=features(16)), {"kind": "npz", "task": "fidelity"}, "inputs.npz")
    now = timezone.now()
    verdict = {"outcome": "improved", "candidate": "c01", "reason": "c01 holds every limit."}
    session = OptimizationSession.objects.create(
        team=version.model.team,
        version=version,
        dataset=dataset,
        criteria_body=quick().model_dump(mode="json"),
        status=Status.COMPLETED,
        phase=Phase.PACKAGING,
        progress=1.0,
        outcome=Outcome.IMPROVED,
        verdict=verdict,
        created_by=door.user,
        started_at=now,
        finished_at=now,
    )
    predicted = {"speedup": 1.0, "size_ratio": 2.0, "metric_drop_points": 0.0, "risk": "low", "basis": "none"}
    Candidate.objects.create(
        session=session,
        key="c01",
        steps=[LINK],
        title=LINK["title"],
        technique=LINK["technique"],
        predicted=predicted,
        status=CandidateStatus.SELECTED,
        reason="It holds every limit.",
    )
    file = another_file()
    made: dict[str, Any] = {"status": Status.COMPLETED, "artifact": file, "artifact_filename": "model.onnx"}
    SessionStep.objects.create(
        session=session,
        key="c01/optimize",
        kind=StepKind.OPTIMIZE,
        candidate_key="c01",
        technique=LINK["technique"],
        result={"parameters": {}, "digest": file.sha256, "size_bytes": file.size_bytes},
        **made,
    )
    judged = SessionStep.objects.create(
        session=session,
        key="c01/judge",
        kind=StepKind.EVALUATE,
        candidate_key="c01",
        parent_key="c01/optimize",
        status=Status.COMPLETED,
        result=report_body("evaluation"),
    )
    keep_report(judged)
    return session


def test_a_grid_goes_from_the_api_to_the_report(door: Door, client: Client, finished: OptimizationSession) -> None:
    path = f"sessions/{finished.pk}/speed"
    wrong = door.post(path, {"batch_sizes": [0]}, status=422)
    assert wrong["code"] == "session.speed_grid_invalid"
    door.post(path, {"batch_sizes": [1, 4], "threads": [1, 64]}, status=202)
    refused = door.post(path, {}, status=409)
    assert refused["code"] == "session.move_refused"
    crank.turn_until_quiet()

    finished.refresh_from_db()
    (found,) = door.client.get(f"{API}/{path}/").json()["measurements"]
    assert found["status"] == Status.COMPLETED, told(finished)
    cells = found["matrix"]["cells"]
    assert [(cell["batch_size"], cell["threads"]) for cell in cells] == [(1, 1), (1, 64), (4, 1), (4, 64)]
    assert all(cell["original"] and cell["candidate"] for cell in cells if cell["threads"] == 1)
    assert all("core" in cell["skipped"] for cell in cells if cell["threads"] == 64)
    assert (finished.status, finished.verdict["candidate"]) == (Status.COMPLETED, "c01")
    events = AuditEvent.objects.filter(session_id=finished.pk, action__startswith="session.speed")
    assert list(events.order_by("sequence").values_list("action", flat=True)) == [
        "session.speed_requested",
        "session.speed_measured",
    ]

    client.force_login(door.user)
    html = client.get(reverse("optimization:report", args=[finished.pk])).content.decode()
    assert 'id="report-matrix"' in html
    assert "Candidate against original" in html
    assert "Measure again" in html


def test_a_cancelled_measurement_leaves_the_verdict(door: Door, client: Client, finished: OptimizationSession) -> None:
    client.force_login(door.user)
    asked = client.post(reverse("optimization:session-measure", args=[finished.pk]), {"batch_sizes": "1, 2"})
    assert asked["Location"] == finished.get_absolute_url()
    door.post(f"sessions/{finished.pk}/cancel", {}, status=200)
    crank.turn_until_quiet()

    finished.refresh_from_db()
    assert (finished.status, finished.verdict["candidate"]) == (Status.COMPLETED, "c01")
    html = client.get(reverse("optimization:report", args=[finished.pk])).content.decode()
    assert "The last measurement was cancelled." in html


def test_what_is_not_there_is_not_measured(door: Door, finished: OptimizationSession) -> None:
    path = f"sessions/{finished.pk}/speed"
    assert door.post(path, {"candidate": "c99"}, status=422)["code"] == "session.candidate_unknown"
    SessionStep.objects.update(artifact=None)
    assert door.post(path, {}, status=409)["code"] == "session.speed_not_measurable"
