"""The command `lathe` against a live portal: files in, a session, its result, and the gate of a pipeline."""

from __future__ import annotations

import json
import shlex
import stat
import zipfile
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml

from lathe_client.commands import parser
from tests.clients.action import step
from tests.clients.conftest import PATIENCE_S, Command, Files, Portal, disturbed
from tests.live_portal import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.portable, pytest.mark.timeout(PATIENCE_S + 60)]
READING = ("--kind", "npz", "--task", "classification")


def uploaded(lathe: Command, files: Files, model: str) -> None:
    """A model whose alias `production` points at the good version, and the data set `test`."""
    assert lathe("upload", files.good, "--model", model, "--alias", "production").returncode == 0
    assert lathe("dataset", files.data, *READING).returncode == 0


def cases(junit: Path) -> list[tuple[str, str, str]]:
    """Each test case of the file: its name, and what became of it."""
    found = []
    for case in ET.parse(junit).getroot().iter("testcase"):  # noqa: S314 (our own file)
        ends = [(one.tag, one.get("type", "")) for one in case]
        found.append((case.get("name", ""), *(ends[0] if ends else ("", ""))))
    return found


def test_login_keeps_the_token_for_its_owner_only(stranger_to_it: Command, portal: Portal) -> None:
    nobody = stranger_to_it("upload", "net.onnx")
    assert (nobody.returncode, "lathe login" in nobody.stderr) == (3, True)
    wrong = stranger_to_it("login", portal.url, "--token", "-", asked="nonsense\n")
    assert (wrong.returncode, "[request.authentication_failed]" in wrong.stderr) == (3, True)
    right = stranger_to_it("login", portal.url, "--token", "-", asked=f"{portal.token}\n")
    assert (right.returncode, "ci@example.org" in right.stdout, portal.token in right.stdout) == (0, True, False)
    kept = stranger_to_it.home / "lathe" / "credentials.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    missing = stranger_to_it("upload", "net.onnx")
    assert (missing.returncode, "There is no file net.onnx" in missing.stderr) == (3, True)


@pytest.mark.nightly
def test_from_a_file_to_a_promoted_version(lathe: Command, files: Files) -> None:
    uploaded(lathe, files, "optimized")
    again = lathe("upload", files.good, "--model", "optimized")
    assert again.stdout.split("\t")[1].strip() == "optimized#1", "the same file is the same version"
    criteria = lathe.home / "criteria.json"
    criteria.write_text(
        json.dumps(
            {
                "objective": "size",
                "constraints": {"max_metric_drop_points": 30.0},
                "allowed_techniques": ["onnx-dynamic-int8"],
                "budget": {"minutes": 1.0, "candidates": 1},
            }
        )
    )
    asked = ("optimized@production", "--data", "test", "--criteria", criteria, "--seed", 7)
    done = lathe("optimize", *asked, "--watch")
    assert done.returncode == 0, done.stderr
    session, headline = done.stdout.splitlines()[:2]
    assert headline.startswith("improved: ")
    assert json.loads(lathe("report", session).stdout)["session"] == session
    printed = Path(lathe.home / lathe("report", session, "--format", "pdf").stdout.strip())
    assert printed.read_bytes().startswith(b"%PDF-")
    package = Path(lathe.home / lathe("download", session).stdout.strip())
    assert zipfile.ZipFile(package).testzip() is None
    promoted = lathe("promote", session, "--alias", "staging")
    assert promoted.stdout.startswith("staging points at version 2")


def test_the_action_is_red_for_a_bad_version(lathe: Command, files: Files) -> None:
    """The script of the GitHub Action, as GitHub runs it; only the installation of the client is left out."""
    uploaded(lathe, files, "guarded")
    asked = {
        "new": files.bad,
        "model": "guarded",
        "data": "test",
        "against": "@production",
        "arguments": "--max-drop 1",
    }

    ran = step(lathe, "gate", asked)

    assert ran.returncode == 1, ran.stderr
    assert "VIOLATED: 1 of 1 limit violated." in ran.stdout
    assert (lathe.home / "output").read_text() == "outcome=violated\n"
    out = lathe.home / "lathe-gate"
    assert cases(out / "gate.xml") == [("max_metric_drop_points", "failure", "violated")]
    comment = (out / "gate.md").read_text()
    assert comment.startswith("### ❌ Lathe: 1 of 1 limit violated\n")
    assert "| max_metric_drop_points | ≤ 1 points |" in comment
    assert (lathe.home / "summary").read_text() == comment
    told = json.loads((out / "gate.json").read_text())
    assert (told["outcome"], told["exit_code"], told["limits"][0]["status"]) == ("violated", 1, "violated")
    assert 1 < told["limits"][0]["low"] < told["limits"][0]["measured"] < told["limits"][0]["high"]


def test_the_gate_is_green_for_the_same_version(lathe: Command, files: Files) -> None:
    uploaded(lathe, files, "guarded")
    junit = lathe.home / "gate.xml"
    green = lathe("gate", "@production", "--model", "guarded", "--data", "test", "--max-drop", 1, "--junit", junit)
    assert green.returncode == 0, green.stderr
    assert "PROVEN: The limit is proven." in green.stdout
    assert cases(junit) == [("max_metric_drop_points", "", "")]


def test_the_snippet_for_gitlab_is_short_and_calls_what_there_is() -> None:
    guide = (ROOT / "docs" / "gate.md").read_text()
    snippet = guide.partition("## GitLab")[2].partition("```yaml\n")[2].partition("```")[0]
    assert len(snippet.splitlines()) <= 10
    (script,) = (job["script"] for job in yaml.safe_load(snippet).values())
    called = next(line for line in script if line.startswith("lathe "))
    assert parser().parse_args(shlex.split(called)[1:]).command == "gate"


def test_what_the_gate_cannot_compare_is_an_error_in_every_file(lathe: Command, files: Files) -> None:
    written = {name: lathe.home / f"gate.{name}" for name in ("junit", "markdown", "json")}
    options = [part for name, path in written.items() for part in (f"--{name}", path)]
    lost = lathe("gate", files.bad, "--model", "nobody's", "--against", "@staging", "--data", "test", *options)
    assert (lost.returncode, "There is no model called “nobody's”" in lost.stderr) == (3, True)
    assert cases(written["junit"]) == [("comparison", "error", "error")]
    assert "⚠️" in written["markdown"].read_text()
    assert json.loads(written["json"].read_text())["exit_code"] == 3
    assert lathe("gate").returncode == 3, "a wrong command line is not “inconclusive”"


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_a_bad_version_is_red_twenty_times_of_twenty(lathe: Command, files: Files) -> None:
    uploaded(lathe, files, "watched")
    codes = []
    for number in range(20):
        bad = lathe.home / f"bad{number}.onnx"
        bad.write_bytes(disturbed(files.good.read_bytes(), 0.6, seed=number))
        ends = lathe("gate", bad, "--model", "watched", "--data", "test", "--max-drop", 1, "--seed", number)
        codes.append(ends.returncode)
    same = [
        lathe("gate", "@production", "--model", "watched", "--data", "test", "--max-drop", 1, "--seed", number)
        for number in range(5)
    ]
    assert codes == [1] * 20
    assert [one.returncode for one in same] == [0] * 5


@pytest.mark.nightly
@pytest.mark.timing
@pytest.mark.timeout(1800)
def test_the_same_version_is_green_under_a_limit_on_speed(lathe: Command, files: Files) -> None:
    """It is as fast as itself, so at least 0.8 times as fast, and never at least 1.5 times."""
    uploaded(lathe, files, "timed")
    asked = ("gate", "@production", "--model", "timed", "--data", "test", "--max-drop", 1)
    same = [lathe(*asked, "--min-speedup", 0.8, "--seed", number) for number in range(5)]
    faster = [lathe(*asked, "--min-speedup", 1.5, "--seed", number) for number in range(5)]
    assert [one.returncode for one in same] == [0] * 5
    assert [one.returncode for one in faster] == [1] * 5
