"""`/metrics/`: closed unless opened, true, cheap, and the dashboard reads nothing that is not there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import dramatiq
import dramatiq.broker
import pytest
from asgiref.sync import async_to_sync, sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.conf import settings as live_settings
from django.db import connection
from django.db.utils import OperationalError
from django.test import Client
from django.utils import timezone
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from apps.accounts.models import User
from apps.agents.contracts.state import Status, StepKind
from apps.audit import trail
from apps.models.models import DataSet
from apps.models.uploads import append_chunk, begin_upload, finish
from apps.notifications import outbox
from apps.notifications.models import Delivery
from apps.optimization import sweeper
from apps.optimization.models import OptimizationSession, SessionStep, Worker
from lathe import asgi, traffic
from lathe.broker import Broker
from lathe.env import PROJECT_ROOT, Environment, WrongVariable
from lathe.processes import Supervisor, python_path
from lathe.redis import start_embedded
from tests.portal import world
from tests.portal.world import World

pytestmark = pytest.mark.django_db(transaction=True)

TOKEN = "a-token-of-twenty-characters-or-more"
DASHBOARD = PROJECT_ROOT / "docs" / "grafana-dashboard.json"
Scrape = dict[str, dict[tuple[str, ...], float]]


def read_here(variables: dict[str, str]) -> Environment:
    """The environment with these variables, over the tests' own folder."""
    return Environment.read({"LATHE_VAR_DIR": str(live_settings.LATHE.var_dir), **variables})


@pytest.fixture(scope="module", autouse=True)
def _nothing_counted_before() -> None:
    """What other tests have counted in this process would only make each scrape longer."""
    for metric in vars(traffic).values():
        if isinstance(metric, MetricWrapperBase):
            metric.clear()


@pytest.fixture(autouse=True)
def opened(settings: Any) -> None:
    settings.LATHE = read_here({"LATHE_METRICS_TOKEN": TOKEN})


@pytest.fixture
def everything(team: Any, owner: User) -> World:
    return world.build(team, owner)


def scraped(client: Client) -> Scrape:
    """The value of each sample, by name and the values of its labels in alphabetical order of the labels."""
    answer = client.get("/metrics/", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    found: Scrape = {}
    for family in text_string_to_metric_families(answer.content.decode()):
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


# --- who may read them -----------------------------------------------------------------------------------------------


def test_they_are_closed_to_everyone_unless_opened(client, owner, settings):
    settings.LATHE = read_here({})
    client.force_login(owner)
    answer = client.get("/metrics/", headers={"Authorization": "Bearer None"})
    assert answer.status_code == 403
    assert b"LATHE_METRICS_TOKEN" in answer.content
    assert b"lathe_up" not in answer.content


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}])
def test_a_wrong_token_is_refused(client, header):
    answer = client.get("/metrics/", headers=header)
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, 'Bearer realm="metrics"')


@pytest.mark.parametrize(
    ("peer", "status"), [("10.0.7.9", 200), ("10.0.8.9", 403), ("::1", 200), ("", 403), ("unix:", 403)]
)
def test_listed_addresses_need_no_token(client, settings, peer, status):
    settings.LATHE = read_here({"LATHE_METRICS_NETWORKS": "10.0.7.0/24, ::1"})
    assert client.get("/metrics/", REMOTE_ADDR=peer).status_code == status


def test_a_forged_header_does_not_change_the_address(client, settings):
    variables = {"LATHE_METRICS_NETWORKS": "10.0.7.0/24", "LATHE_TRUSTED_PROXIES": "192.0.2.1"}
    settings.LATHE = read_here(variables)
    forged = {"X-Forwarded-For": "10.0.7.9"}
    assert client.get("/metrics/", REMOTE_ADDR="203.0.113.5", headers=forged).status_code == 403
    assert client.get("/metrics/", REMOTE_ADDR="192.0.2.1", headers=forged).status_code == 200


def test_a_short_token_is_refused_at_the_start():
    with pytest.raises(WrongVariable, match=r"LATHE_METRICS_TOKEN is '\*{5}', .* at least 20 characters"):
        Environment.read({"LATHE_METRICS_TOKEN": "short"})


# --- what they say ---------------------------------------------------------------------------------------------------


def test_workers_are_counted_by_queue_and_state(client, everything):
    Worker.objects.all().delete()
    Worker.objects.create(name="idle", queues=["cpu", "default"])
    Worker.objects.create(name="busy", queues=["cpu"], current_step=everything.session.steps.first())
    Worker.objects.create(name="gone", queues=["gpu"], seen_at=timezone.now() - timedelta(minutes=5))
    found = scraped(client)["lathe_workers"]
    assert found["cpu", "idle"] == found["cpu", "busy"] == found["default", "idle"] == found["gpu", "silent"] == 1
    assert found["checks", "idle"] == found["gpu", "idle"] == 0


def test_queues_tell_their_depth_and_the_oldest_step(client, everything):
    session = everything.session
    OptimizationSession.objects.filter(pk=session.pk).update(status=Status.RUNNING)
    before = scraped(client)["lathe_queue_steps"][("cpu",)]
    since = timezone.now() - timedelta(seconds=500)
    for number in range(3):
        SessionStep.objects.create(
            session=session, key=f"w{number}", kind=StepKind.EVALUATE, enqueued_at=since + timedelta(seconds=number)
        )
    found = scraped(client)
    assert found["lathe_queue_steps"][("cpu",)] == before + 3
    assert found["lathe_queue_oldest_step_age_seconds"][("cpu",)] == pytest.approx(500, abs=30)
    assert found["lathe_queue_oldest_step_age_seconds"][("gpu",)] == 0


def started(session: OptimizationSession, key: str, kind: str = StepKind.EVALUATE) -> SessionStep:
    OptimizationSession.objects.filter(pk=session.pk).update(status=Status.RUNNING)
    step = SessionStep.objects.create(session=session, key=key, kind=kind)
    assert step.take("w:1", timedelta(seconds=30))
    return step


def test_ended_steps_retries_and_lost_leases_are_counted(client, everything):
    before = scraped(client)
    started(everything.session, "s1").complete({})
    failed = started(everything.session, "s2", StepKind.OPTIMIZE)
    failed.hand_back(reason="again")
    failed.refresh_from_db()
    failed.take("w:1", timedelta(seconds=30))
    failed.fail("x", "It failed.")
    started(everything.session, "s3").fail("step.error", "A bug.", "Traceback")
    silent = started(everything.session, "s4")
    SessionStep.objects.filter(pk=silent.pk).update(lease_expires_at=timezone.now() - timedelta(minutes=1))
    sweeper.sweep()
    found = scraped(client)

    def more(name: str, *labels: str) -> float:
        return found[name][labels] - before[name][labels]

    assert more("lathe_step_duration_seconds_count", "evaluate", "completed") == 1
    assert more("lathe_step_duration_seconds_count", "optimize", "failed") == 1
    assert more("lathe_step_duration_seconds_count", "evaluate", "errored") == 1
    assert more("lathe_step_retries_total", "failure", "optimize") == 1
    assert more("lathe_step_retries_total", "lease_lost", "evaluate") == 1
    assert more("lathe_leases_lost_total", "evaluate") == 1


def test_an_upload_is_counted_with_its_bytes(client, everything, engineer):
    upload = begin_upload(everything.session.team, engineer, "net.onnx", 1000)
    before = scraped(client)
    finish(append_chunk(upload, 0, BytesIO(bytes(1000))))
    found = scraped(client)
    assert found["lathe_uploads_open"][()] == before["lathe_uploads_open"][()] - 1
    for name, value in (("lathe_uploads_total", 1), ("lathe_uploaded_bytes_total", 1000)):
        assert found[name][("chunks",)] - before[name][("chunks",)] == value
    assert found["lathe_disk_free_bytes"][("var",)] > 0


def test_verdicts_and_checks_are_counted(client, everything):
    before = scraped(client)
    trail.record("session.completed", session=everything.session, data={"outcome": "improved"})
    trail.record("session.cancelled", session=everything.session)
    DataSet.objects.filter(pk=everything.dataset.pk).update(status="pending")
    everything.dataset.refuse("dataset.unreadable", "It cannot be read.")
    found = scraped(client)
    for name, labels in (
        ("lathe_verdicts_total", ("improved",)),
        ("lathe_sessions_ended_total", ("completed",)),
        ("lathe_sessions_ended_total", ("cancelled",)),
        ("lathe_checks_total", ("dataset", "refused")),
    ):
        assert found[name][labels] - before[name][labels] == 1


def test_deliveries_are_counted_by_medium_and_result(client, everything):
    before = scraped(client)
    everything.channel.enabled = False
    everything.channel.save()
    Delivery.objects.filter(pk=everything.delivery.pk).update(status="waiting", due_at=timezone.now(), claim=None)
    assert scraped(client)["lathe_notifications_due"][()] >= 1
    outbox.deliver(everything.delivery.pk)
    labels = (everything.channel.medium, "given_up")
    found = scraped(client)["lathe_notification_deliveries_total"]
    assert found[labels] - before["lathe_notification_deliveries_total"][labels] == 1


def test_requests_are_counted_by_route_and_never_by_address(client, everything, owner):
    client.force_login(owner)
    before = scraped(client)
    page = everything.session.get_absolute_url()
    for _ in range(3):
        assert client.get(page).status_code == 200
    client.get("/nowhere/at/all/")
    client.generic("BREW", "/health/")
    answer = client.get("/metrics/", headers={"Authorization": f"Bearer {TOKEN}"}).content.decode()
    found = scraped(client)["lathe_http_requests_total"]
    seen = before["lathe_http_requests_total"]
    assert (
        found["GET", "optimization:session-detail", "200"] - seen.get(("GET", "optimization:session-detail", "200"), 0)
        == 3
    )
    assert found["GET", "unmatched", "404"] >= 1
    assert found["other", "health", "200"] >= 1
    assert str(everything.session.pk) not in answer
    assert "nowhere" not in answer


def test_the_messages_in_redis_are_counted_with_the_age_of_the_first(client, tmp_path: Path, monkeypatch):
    with Supervisor() as supervisor:
        start_embedded(supervisor, tmp_path / "redis.sock", tmp_path / "data", tmp_path / "log")
        broker = Broker(url=f"unix://{tmp_path}/redis.sock", middleware=[], namespace="lathe.dramatiq")
        monkeypatch.setattr(dramatiq.broker, "global_broker", broker)
        broker.declare_queue("cpu")
        for age_s in (100, 50):
            sent = {"queue_name": "cpu", "actor_name": "a", "args": (), "kwargs": {}, "options": {}}
            old: dramatiq.Message[Any] = dramatiq.Message(**sent, message_timestamp=int((time.time() - age_s) * 1000))
            broker.enqueue(old)
        broker.enqueue(dramatiq.Message(**sent), delay=60_000)
        found = scraped(client)
        assert found["lathe_queue_messages"][("cpu",)] == 2
        assert found["lathe_queue_delayed_messages"][("cpu",)] == 1
        assert found["lathe_queue_oldest_message_age_seconds"][("cpu",)] == pytest.approx(100, abs=30)
        assert found["lathe_queue_messages"][("gpu",)] == 0
    found = scraped(client)
    assert found["lathe_up"] == {("redis",): 0, ("database",): 1}
    assert "lathe_queue_messages" not in found


def test_without_the_database_the_rest_is_still_told(client):
    def away(*_: object) -> None:
        raise OperationalError("the database has gone")

    with connection.execute_wrapper(away):
        found = scraped(client)
    assert found["lathe_up"][("database",)] == 0
    assert "lathe_workers" not in found
    assert found["lathe_http_requests_total"]


def test_a_scrape_costs_few_queries_however_much_there_is(client, everything, django_assert_max_num_queries):
    scraped(client)
    for number in range(30):
        SessionStep.objects.create(session=everything.session, key=f"q{number}", kind=StepKind.EVALUATE)
        Worker.objects.create(name=f"w{number}", queues=["cpu"])
    with django_assert_max_num_queries(12):
        scraped(client)


@async_to_sync
async def opened_socket(session: OptimizationSession, user: User, client: Client) -> tuple[float, float, float]:
    """The number of open sockets before, while and after a page of the session is open."""
    await sync_to_async(client.force_login)(user, backend="apps.accounts.authentication.PasswordBackend")
    cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
    headers = [(b"cookie", cookies.encode()), (b"origin", b"http://testserver")]
    scope = {"type": "websocket", "path": f"/ws/sessions/{session.pk}/", "headers": headers}
    counts = [traffic.SOCKETS.labels("session")._value.get()]
    app = ApplicationCommunicator(asgi.application, scope)
    await app.send_input({"type": "websocket.connect"})
    assert (await app.receive_output())["type"] == "websocket.accept"
    counts.append(traffic.SOCKETS.labels("session")._value.get())
    await app.send_input({"type": "websocket.disconnect", "code": 1000})
    await app.wait()
    return counts[0], counts[1], traffic.SOCKETS.labels("session")._value.get()


def test_open_sockets_are_counted(client, everything, owner):
    before, meanwhile, after = opened_socket(everything.session, owner, client)
    assert (meanwhile - before, after) == (1, before)
    assert scraped(client)["lathe_websockets_opened_total"][("session",)] >= 1


# --- several processes -----------------------------------------------------------------------------------------------

COUNTING = """
import sys
from pathlib import Path
from lathe import multiprocess
multiprocess.share(Path(sys.argv[1]))
from lathe import traffic
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
for _ in range(int(sys.argv[2])):
    traffic.REQUESTS.labels("home", "GET", "200").inc()
traffic.SOCKETS.labels("bell").inc()
print("counted", flush=True)
sys.stdin.readline()
shared = multiprocess.shared_folder()
multiprocess.forget_the_dead(shared)
registry = CollectorRegistry()
MultiProcessCollector(registry, path=str(shared))
print(generate_latest(registry).decode())
"""


def counting(var_dir: Path, times: int) -> subprocess.Popen[str]:
    """A web process that has counted `times` requests and has one socket open."""
    process = subprocess.Popen(
        [sys.executable, "-c", COUNTING, str(var_dir), str(times)],
        cwd=PROJECT_ROOT,
        env={**os.environ, "PYTHONPATH": python_path(), "TMPDIR": str(var_dir)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "counted\n"
    return process


def told_by(process: subprocess.Popen[str]) -> tuple[float, float]:
    """The requests and the open sockets in the scrape of this process, which ends."""
    text, _ = process.communicate("\n", timeout=60)
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("lathe_"))
    requests = values['lathe_http_requests_total{method="GET",route="home",status="200"}']
    return float(requests), float(values['lathe_websocket_connections{page="bell"}'])


@pytest.mark.children
def test_each_of_several_processes_tells_the_sum_of_all(tmp_path: Path):
    first, second, third = (counting(tmp_path, times) for times in (3, 4, 5))
    first.kill()
    first.communicate()
    try:
        assert told_by(second) == (12, 2)  # what the killed one has answered stays; its socket has gone
        assert told_by(third)[0] == 12
        assert told_by(counting(tmp_path, 1))[0] == 1  # all have ended: this is a new start
    finally:
        for process in (second, third):
            process.kill()


# --- the dashboard ---------------------------------------------------------------------------------------------------


def expressions() -> Iterator[str]:
    board = json.loads(DASHBOARD.read_text())
    for panel in board["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    yield from (one["query"]["query"] for one in board["templating"]["list"] if one["type"] == "query")


def test_the_dashboard_reads_only_metrics_and_labels_that_exist(client, everything, owner):
    with Supervisor() as supervisor, pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        start_embedded(supervisor, Path(folder, "redis.sock"), Path(folder, "data"), Path(folder, "log"))
        patch.setattr(dramatiq.broker, "global_broker", Broker(url=f"unix://{folder}/redis.sock", middleware=[]))
        scraped(client)
        opened_socket(everything.session, owner, client)
        timing = {"at": timezone.now().isoformat(), "control": {"value": 1.0, "low": 0.99, "high": 1.01}}
        Worker.objects.create(name="w", queues=["cpu"], timing=timing)
        answer = client.get("/metrics/", headers={"Authorization": f"Bearer {TOKEN}"}).content.decode()
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(answer):
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    named = {name for text in expressions() for name in re.findall(r"\blathe_\w+", text)}
    assert len(named) > 25
    assert named <= labels.keys()
    for text in expressions():
        names = set(re.findall(r"\blathe_\w+", text))
        wanted = {label.strip() for group in re.findall(r"by \(([^)]*)\)", text) for label in group.split(",")}
        assert wanted <= set().union(*(labels[name] for name in names)), text


def test_every_metric_has_a_place_on_the_dashboard(client):
    named = " ".join(expressions())
    families = [name for name in documented() if name not in named]
    assert families == []


def documented() -> list[str]:
    """The metrics in the table of the operators' page, as Prometheus stores them."""
    page = (PROJECT_ROOT / "docs" / "monitoring.md").read_text()
    return re.findall(r"^\| `(lathe_\w+)` \|", page, flags=re.MULTILINE)


def test_the_page_documents_every_metric_and_no_other(client, everything):
    answer = client.get("/metrics/", headers={"Authorization": f"Bearer {TOKEN}"}).content.decode()
    told = {
        f"{name}_total" if kind == "counter" and not name.endswith("_total") else name
        for name, kind in re.findall(r"^# TYPE (\w+) (\w+)$", answer, flags=re.MULTILINE)
        if not name.endswith("_created")
    }
    assert set(documented()) == told
