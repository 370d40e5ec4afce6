"""Nothing but a verdict ends with the code of a verdict: every fault is an error, exit 3."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lathe_client import commands
from tests.clients.conftest import Command
from tests.waiting import wait_until

pytestmark = pytest.mark.portable
TOKEN = {"LATHE_TOKEN": "token"}
SESSION = {"id": "s1", "status": "completed", "phase": "done", "progress": 1.0, "elapsed_s": 2.0, "error": ""}
LIMIT = {
    "constraint": "min_speedup",
    "subject": "",
    "limit": 1.5,
    "unit": "×",
    "status": "violated",
    "to_decide": None,
    "measured": {"value": 1.0, "low": 0.9, "high": 1e13},
    "sentence": "It is not ≥ 1.5 × as fast.",
}
REPORT = {
    "verdict": {"outcome": "violated", "headline": {"sentence": "1 limit violated"}, "reason": "≤ ∞", "advice": None},
    "candidates": [{"evaluation": {"constraints": [LIMIT], "examples": 10, "confidence": 0.95}}],
    "model": "net 1",
    "compared": "net 2",
    "dataset": "test",
}
GATE = ("gate", "2", "--against", "1", "--data", "3", "--min-speedup", "1.5")


@dataclass
class Answering:
    """A portal that has one answer to each request, and keeps which came."""

    answers: dict[str, Any]
    url: str = ""
    asked: list[str] = field(default_factory=list)

    def command(self, home: Path, **known: str) -> Command:
        return Command(home, {"LATHE_URL": self.url, **TOKEN, **known})


@pytest.fixture
def answering() -> Iterator[Answering]:
    ready = {"status": "ready"}
    portal = Answering(
        {
            **{f"versions/{number}/": {"id": number, **ready} for number in (1, 2)},
            "datasets/3/": {"id": 3, **ready},
            "sessions/compare/": SESSION,
            "sessions/s1/": SESSION,
            "sessions/s1/report/": REPORT,
            "sessions/s1/cancel/": {},
        }
    )

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.removeprefix("/api/v1/").partition("?")[0]
            portal.asked.append(f"{self.command} {path}")
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = json.dumps(portal.answers.get(path, {})).encode()
            self.send_response(200 if path in portal.answers else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 (the name that http.server calls)

        def log_message(self, *_: object) -> None:
            """Not to the test's error stream."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        portal.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield portal
        server.shutdown()
        thread.join()


def outcome(junit: Path) -> str:
    return "error" if 'errors="1"' in junit.read_text(encoding="utf-8") else "verdict"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_signs_that_a_terminal_lacks_do_not_change_the_verdict(
    answering: Answering, tmp_path: Path, encoding: str
) -> None:
    lathe = answering.command(tmp_path, PYTHONIOENCODING=encoding)
    answering.answers["sessions/s1/report/"] = {**REPORT, "verdict": {**REPORT["verdict"], "outcome": "inconclusive"}}
    ended = subprocess_bytes(lathe, *GATE)
    assert ended.returncode == 2, ended.stderr
    assert b"? 1.5" in ended.stdout
    assert subprocess_bytes(lathe, "--help").returncode == 0


def test_a_report_is_utf_8_for_every_terminal(answering: Answering, tmp_path: Path) -> None:
    ended = subprocess_bytes(answering.command(tmp_path, PYTHONIOENCODING="ascii"), "report", "s1")
    assert (ended.returncode, json.loads(ended.stdout)) == (0, REPORT)


def test_a_package_whose_name_a_terminal_lacks_is_not_changed(stranger_to_it: Command) -> None:
    (stranger_to_it.home / "modèle≤.zip").write_bytes(b"no package")
    lathe = replace(stranger_to_it, known={"PYTHONIOENCODING": "ascii"})
    assert subprocess_bytes(lathe, "verify", "modèle≤.zip").returncode == 1
    (stranger_to_it.home / "folder.pem").mkdir()
    missing = subprocess_bytes(lathe, "verify", "modèle≤.zip", "--key", "folder.pem")
    assert (missing.returncode, b"There is no file folder.pem" in missing.stderr) == (3, True)


@pytest.mark.parametrize(
    "arguments", [GATE, ("optimize", "2", "--data", "3", "--watch"), ("verify", "package.zip")], ids=lambda one: one[0]
)
def test_what_nobody_has_thought_of_is_an_error(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def fault(*_: object) -> None:
        raise KeyError("surprise")

    monkeypatch.chdir(tmp_path)
    (tmp_path / "package.zip").touch()
    monkeypatch.setattr(commands, "portal", fault)
    monkeypatch.setattr(commands, "verify", fault)
    files = ("--junit", "gate.xml") if arguments is GATE else ()
    with pytest.raises(SystemExit) as ended:
        commands.main([*arguments, *files])
    assert ended.value.code == 3
    assert "This is a fault of the command, so it says nothing about your files: KeyError" in capsys.readouterr().err
    if files:
        assert outcome(tmp_path / "gate.xml") == "error"


@pytest.mark.parametrize(
    ("known", "told"),
    [
        ({"LATHE_TOKEN": "tökén"}, "The token has signs that no API token has"),
        ({"LATHE_TOKEN": "to\nken"}, "The token has signs that no API token has"),
        ({"LATHE_URL": "lathe.example.org"}, "“lathe.example.org” is not the address of a portal"),
        ({"LATHE_URL": "http://[::1"}, "“http://[::1” is not the address of a portal"),
        ({"LATHE_URL": "http://lathe.example.org:port"}, "is not the address of a portal"),
    ],
)
def test_what_cannot_be_sent_is_an_error_in_the_files_too(
    answering: Answering, tmp_path: Path, known: dict[str, str], told: str
) -> None:
    lathe = answering.command(tmp_path, **known)
    ended = lathe(*GATE, "--junit", "gate.xml")
    assert (ended.returncode, told in ended.stderr, "ken" in ended.stderr.replace("token", "")) == (3, True, False)
    assert told in (tmp_path / "gate.xml").read_text(encoding="utf-8")


def test_a_token_may_end_with_a_line_break(answering: Answering, tmp_path: Path) -> None:
    assert answering.command(tmp_path, LATHE_TOKEN="token\n")(*GATE).returncode == 1


def test_a_limit_that_is_no_number_is_a_wrong_command_line(stranger_to_it: Command) -> None:
    ended = stranger_to_it(*GATE[:-1], "nan")
    assert (ended.returncode, "--min-speedup: invalid number value: 'nan'" in ended.stderr) == (3, True)


def test_folders_for_reports_are_made(answering: Answering, tmp_path: Path) -> None:
    lathe = answering.command(tmp_path)
    assert lathe(*GATE, "--junit", "a/b/gate.xml").returncode == 1
    assert outcome(tmp_path / "a" / "b" / "gate.xml") == "verdict"
    assert lathe("report", "s1", "--output", "c/report.json").returncode == 0
    assert json.loads((tmp_path / "c" / "report.json").read_text()) == REPORT


@pytest.mark.parametrize(
    ("asked", "place"),
    [
        ((*GATE, "--junit"), "file/gate.xml"),
        ((*GATE, "--markdown"), "folder"),
        ((*GATE, "--json"), "/proc/gate.json"),
        (("report", "s1", "--output"), "file/report.json"),
        (("download", "s1", "--output"), "file/package.zip"),
    ],
)
def test_a_place_where_nothing_can_be_written_is_refused_before_the_run(
    answering: Answering, tmp_path: Path, asked: tuple[str, ...], place: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    ended = answering.command(tmp_path)(*asked, place)
    assert (ended.returncode, f"{place} cannot be written" in ended.stderr, answering.asked) == (3, True, [])


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="/dev/full is not there")
def test_a_full_disk_is_an_error_and_hides_no_verdict(answering: Answering, tmp_path: Path) -> None:
    lathe = answering.command(tmp_path)
    ended = lathe(*GATE, "--junit", "/dev/full", "--json", "gate.json")
    assert (ended.returncode, "/dev/full could not be written" in ended.stderr) == (3, True)
    assert ended.stdout.startswith("VIOLATED")
    assert json.loads((tmp_path / "gate.json").read_text())["outcome"] == "violated"
    with open("/dev/full", "w") as full:
        ended = subprocess_bytes(lathe, *GATE, "--junit", "gate.xml", stdout=full)
    assert (ended.returncode, b"No space left" in ended.stderr, outcome(tmp_path / "gate.xml")) == (3, True, "verdict")


@pytest.mark.parametrize("known", [{}, {"PYTHONUNBUFFERED": "1"}], ids=["buffered", "unbuffered"])
def test_a_reader_that_has_gone_does_not_change_the_verdict(
    answering: Answering, tmp_path: Path, known: dict[str, str]
) -> None:
    lathe = answering.command(tmp_path, **known)
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess_bytes(lathe, *GATE, "--junit", "gate.xml", stdout=writer, stderr=writer)
    assert (ended.returncode, outcome(tmp_path / "gate.xml")) == (1, "verdict")
    answering.answers["sessions/s1/report/"] = {**REPORT, "verdict": {**REPORT["verdict"], "outcome": "proven"}}
    assert subprocess_bytes(lathe, *GATE, stdout=writer, stderr=writer).returncode == 0
    assert subprocess_bytes(lathe, "report", "s1", stdout=writer).returncode == 0
    assert subprocess_bytes(lathe, "gate", stdout=writer, stderr=writer).returncode == 3
    os.close(writer)


def test_closed_streams_do_not_change_the_verdict(answering: Answering, tmp_path: Path) -> None:
    lathe = answering.command(tmp_path)
    script = 'exec "$@" >&- 2>&-'
    ended = subprocess.run(
        ["/bin/sh", "-c", script, "sh", *called(lathe, *GATE)],
        cwd=tmp_path,
        env=lathe.environment,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1


@pytest.mark.parametrize("cancelled", [True, False], ids=["cancelled", "refused"])
def test_an_interrupted_gate_cancels_its_session_and_says_so_in_its_files(
    answering: Answering, tmp_path: Path, cancelled: bool
) -> None:
    answering.answers["sessions/s1/"] = {**SESSION, "status": "running"}
    if not cancelled:
        del answering.answers["sessions/s1/cancel/"]
    lathe = answering.command(tmp_path)
    command = called(lathe, *GATE, "--junit", "gate.xml")
    # A test that itself runs in the background was told to ignore the signal, and would pass that on.
    running = subprocess.Popen(
        command, cwd=tmp_path, env=lathe.environment, stderr=subprocess.PIPE, preexec_fn=_heeds_interrupts
    )
    wait_until(lambda: "GET sessions/s1/" in answering.asked, "the gate's first look at its session")
    running.send_signal(signal.SIGINT)
    _, told = running.communicate(timeout=60)
    assert (running.returncode, b"Traceback" in told) == (130, False)
    assert answering.asked[-1] == "POST sessions/s1/cancel/"
    assert "interrupted" in (tmp_path / "gate.xml").read_text(encoding="utf-8")


def _heeds_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def called(lathe: Command, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "lathe_client", *arguments]


def subprocess_bytes(lathe: Command, *arguments: str, **streams: Any) -> subprocess.CompletedProcess[bytes]:
    """The command with streams of its own, of which nothing is decoded."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    command = called(lathe, *arguments)
    return subprocess.run(command, cwd=lathe.home, env=lathe.environment, timeout=60, check=False, **streams)
