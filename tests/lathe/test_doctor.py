"""The doctor names what is wrong with a deployment, once each, and what to do about it."""

from __future__ import annotations

import dataclasses
import json
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import dramatiq
import pytest
from django.core.management import call_command

from apps.agents.contracts.sandbox import Sandbox
from apps.models import clock
from apps.optimization.models import Worker
from apps.release import code_digest
from lathe.broker import Broker
from lathe.doctor import examination, front, machine, queue, workers
from lathe.doctor.findings import Finding, State, failed, ok, warning
from lathe.processes import Supervisor
from lathe.redis import start_embedded
from tests.optimization import material

pytestmark = pytest.mark.django_db


def only(findings: Iterator[Finding]) -> Finding:
    (finding,) = findings
    assert finding.sentence.endswith(".")
    assert bool(finding.mend) is (finding.state is not State.OK)
    return finding


def by_check(findings: Iterator[Finding]) -> dict[str, Finding]:
    return {finding.check: finding for finding in findings}


def changed(settings: Any, **fields: Any) -> None:
    settings.LATHE = dataclasses.replace(settings.LATHE, **fields)


# --- the command -----------------------------------------------------------------------------------------------------


def answered(monkeypatch: pytest.MonkeyPatch, *findings: Finding, options: tuple[str, ...] = ()) -> tuple[int, str]:
    monkeypatch.setattr(examination, "CHECKS", (lambda: iter(findings),))
    said = StringIO()
    try:
        call_command("doctor", *options, "--no-color", stdout=said)
    except SystemExit as end:
        return int(str(end.code)), said.getvalue()
    return 0, said.getvalue()


FINE, DOUBTFUL = ok("disk.var", "There is room."), warning("mail", "Mails reach nobody.", "Set EMAIL_URL.")
BROKEN = failed("redis", "Redis does not answer.", "Start Redis.")


def test_it_fails_if_something_failed_and_by_request_if_something_is_doubtful(monkeypatch):
    assert answered(monkeypatch, FINE, DOUBTFUL)[0] == 0
    assert answered(monkeypatch, FINE, DOUBTFUL, options=("--strict",))[0] == 1
    code, said = answered(monkeypatch, FINE, DOUBTFUL, BROKEN)
    assert code == 1
    assert "→ Start Redis." in said
    assert said.endswith("1 ok, 1 doubtful, 1 failed.\n")


def test_programs_read_the_same_as_json(monkeypatch):
    code, said = answered(monkeypatch, FINE, BROKEN, options=("--json",))
    told = json.loads(said)
    assert (code, told["healthy"]) == (1, False)
    assert told["findings"][1] == {
        "check": "redis",
        "state": "failed",
        "sentence": "Redis does not answer.",
        "mend": "Start Redis.",
    }


def test_it_looks_at_everything_once():
    assert len(set(examination.CHECKS)) == 11


# --- this machine ----------------------------------------------------------------------------------------------------


def test_settings_are_judged_by_the_checks_of_django_and_one_cause_is_told_once(settings):
    changed(settings, base_url="http://lathe.example.org", secret_key=None)
    found = by_check(machine.settings_of_a_team())
    assert found["settings.lathe.W002"].mend.startswith("Set LATHE_SECRET_KEY")
    assert found["settings.lathe.W005"].state is State.WARNING
    assert not found.keys() & {f"settings.{name}" for name in machine.FOLLOW_FROM_NO_TLS}


def test_what_ready_says_comes_with_what_to_do():
    found = by_check(machine.ready())
    assert found.keys() == machine.MENDS.keys()
    assert found["workers"].state is State.FAILED
    assert "LATHE_NEEDED_QUEUES" in found["workers"].mend
    assert found["database"] == ok("database", "The database answers.")


def test_tracebacks_on_pages_are_a_failure(settings):
    assert list(machine.debugging()) == []
    settings.DEBUG = True
    assert only(machine.debugging()).state is State.FAILED


class Room(NamedTuple):
    free: int


@pytest.mark.parametrize(("free", "state"), [(2**29, State.FAILED), (2**31, State.WARNING), (2**36, State.OK)])
def test_room_is_judged_by_the_largest_upload(monkeypatch, free, state):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Room(free))
    assert by_check(machine.disk())["disk.var"].state is state


@pytest.mark.parametrize(("skew", "state"), [(timedelta(seconds=30), State.FAILED), (timedelta(), State.OK)])
def test_clocks_that_differ_are_a_failure(monkeypatch, skew, state):
    now = clock.now
    monkeypatch.setattr(clock, "now", lambda: now() - skew)
    assert only(machine.clocks()).state is state


def test_missing_static_files_are_named(monkeypatch):
    assert only(machine.static_files()).state is State.OK
    monkeypatch.setattr(machine, "STATIC_FILES", (*machine.STATIC_FILES, "gone.js"))
    assert only(machine.static_files()).sentence == "gone.js cannot be found."


def test_mails_that_reach_nobody_are_doubtful(settings):
    changed(settings, email_url="console:")
    assert only(machine.mails()).sentence == "Mails are printed, and reach nobody."


def test_a_mail_server_that_refuses_is_a_failure(settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    changed(settings, email_url="smtp://127.0.0.1:1")
    found = only(machine.mails())
    assert found.state is State.FAILED
    assert "refused" in found.sentence


# --- the queue -------------------------------------------------------------------------------------------------------


@pytest.fixture
def broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    """That of this process, over a Redis of its own."""
    socket = tmp_path / "redis.sock"
    with Supervisor() as supervisor:
        start_embedded(supervisor, socket, tmp_path / "data", tmp_path / "redis.log")
        broker = Broker(url=f"unix://{socket}", middleware=[])
        monkeypatch.setattr(dramatiq, "get_broker", lambda: broker)
        yield broker
        broker.close()


@pytest.mark.parametrize(
    ("limit", "policy", "bundled", "state", "said"),
    [
        ("768mb", "noeviction", False, State.OK, "Redis refuses messages beyond 805 MB, and throws none away."),
        ("0", "noeviction", True, State.OK, "when this machine has no more memory"),
        ("0", "noeviction", False, State.WARNING, "Redis has no maxmemory"),
        ("768mb", "allkeys-lru", False, State.WARNING, "throws keys away when its memory is full (allkeys-lru)"),
        ("0", "volatile-ttl", True, State.WARNING, "(volatile-ttl), messages to workers among them"),
    ],
)
def test_a_queue_whose_messages_may_be_thrown_away_is_doubtful(broker, settings, limit, policy, bundled, state, said):
    broker.client.config_set("maxmemory", limit)
    broker.client.config_set("maxmemory-policy", policy)
    changed(settings, redis_is_embedded=bundled)
    found = only(queue.memory())
    assert (found.check, found.state, said in found.sentence) == ("redis.memory", state, True), found


def test_a_user_who_may_not_ask_is_told_what_is_missing(broker):
    broker.client.acl_setuser("default", enabled=True, nopass=True, categories=["-@dangerous"], commands=["+ping"])
    assert "+info" in only(queue.memory()).mend


def test_a_redis_that_is_away_is_left_to_what_ready_says(broker):
    broker.client.connection_pool.connection_kwargs["path"] = "/nowhere"
    broker.client.connection_pool.disconnect()
    assert list(queue.memory()) == []


# --- workers ---------------------------------------------------------------------------------------------------------


def reported(*queues: str, **machine: Any) -> Iterator[Finding]:
    sound = {"code": code_digest(), "clock_skew_s": 0.0, "scratch_free_bytes": 2**40}
    Worker.objects.create(name="shed:1", queues=queues, machine=sound | machine)
    return workers.reports()


def test_workers_that_agree_are_fine():
    assert only(reported("default")).state is State.OK


@pytest.mark.parametrize(
    ("queue", "machine", "check", "said"),
    [
        ("cpu", {"code": "0123456789ab"}, "workers.version", "runs other code (0123456789ab)"),
        ("cpu", {"code": ""}, "workers.version", "(of an older version)"),
        ("cpu", {"clock_skew_s": -9.5}, "workers.clock", "is -9.5 s from the database's"),
        ("cpu", {"scratch_free_bytes": 10**6}, "workers.disk", "1 MB for temporary files"),
        ("checks", {"sandbox": Sandbox().model_dump()}, "workers.sandbox", "uploaded code could read and change"),
        ("gpu", {}, "workers.device", "reports no device"),
        (
            "gpu",
            {"acceleration": material.acceleration(onnx=False).model_dump(mode="json")},
            "workers.provider",
            "ONNX does not compute on the device of shed:1: its ONNX Runtime is a build for the CPU",
        ),
    ],
)
def test_what_a_worker_reports_is_judged(queue, machine, check, said):
    found = only(reported(queue, **machine))
    assert (found.check, said in found.sentence) == (check, True)


# --- the way that members take ---------------------------------------------------------------------------------------


class Portal(BaseHTTPRequestHandler):
    """Answers what its server was told to: to pages, and to those who ask for a WebSocket."""

    page: int = 200
    socket: int = 403
    headers_sent: tuple[tuple[str, str], ...] = ()

    def do_GET(self) -> None:
        self.send_response(self.socket if self.headers.get("Upgrade") else self.page)
        for name, value in self.headers_sent:
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *arguments: Any) -> None: ...


@contextmanager
def portal(wrap: Any = None, **answers: Any) -> Iterator[int]:
    """A server on a free port of this machine, whose number is given."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Told", (Portal,), answers))
    if wrap is not None:
        server.socket = wrap(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("answers", "check", "state", "said"),
    [
        ({}, "address", State.OK, "shows the login page"),
        ({}, "websocket", State.OK, "WebSockets reach the portal"),
        ({"socket": 404}, "websocket", State.FAILED, "(status 404)"),
        ({"page": 400}, "address", State.FAILED, "answers 400"),
        ({"page": 502}, "address", State.FAILED, "answers 502"),
    ],
)
def test_the_address_is_asked_as_a_browser_does(settings, answers, check, state, said):
    with portal(**answers) as port:
        changed(settings, base_url=f"http://127.0.0.1:{port}")
        found = by_check(front.address())
    assert (found[check].state, said in found[check].sentence) == (state, True)


def test_an_address_that_does_not_answer_is_a_failure(settings):
    with portal() as port:
        changed(settings, base_url=f"https://127.0.0.1:{port}")
        assert "does not answer from here" in only(front.address()).sentence
    changed(settings, base_url=f"http://127.0.0.1:{port}")
    assert "refused" in only(front.address()).sentence


def certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 and its key, in one file."""
    file, key = folder / "tls.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "1", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", key, "-out", file], check=True, capture_output=True)
    file.write_text(file.read_text() + key.read_text())
    return file


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_certificates_and_what_a_proxy_leaves_out_are_told(settings, tmp_path, monkeypatch):

    file = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    loop = {"page": 301, "headers_sent": (("Location", "https://127.0.0.1/"),)}
    for trusted, answers, state, said in (
        (False, {}, State.FAILED, "cannot be trusted"),
        (True, loop, State.FAILED, "without end: the portal does not see TLS"),
        (True, {}, State.WARNING, "sends no HSTS"),
        (True, {"headers_sent": (("Strict-Transport-Security", "max-age=1"),)}, State.OK, "shows the login page"),
    ):
        if trusted:
            monkeypatch.setenv("SSL_CERT_FILE", str(file))
        with portal(context.wrap_socket, **answers) as port:
            changed(settings, base_url=f"https://127.0.0.1:{port}")
            found = by_check(front.address())["address"]
        assert (found.state, said in found.sentence) == (state, True), found
