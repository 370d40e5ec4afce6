"""What the GitHub Action does around `lathe gate`: its arguments, its outcome, and its comment on a pull request."""

from __future__ import annotations

import json
import shutil
import sys
from typing import Any

import pytest

from tests.clients.action import step
from tests.clients.conftest import Command

pytestmark = pytest.mark.portable
ASKED = {"new": "new.onnx", "model": "guarded", "data": "Test set"}
RECORDER = f"""#!{sys.executable}
import json, sys
json.dump(sys.argv[1:], open("called.json", "w"))
"""
"""A command that writes down how it was called."""
GH = f"""#!{sys.executable}
import json, subprocess, sys, pathlib
rest = [one for one in sys.argv[2:] if one not in ("--paginate", "--silent")]
place = rest.pop(next(at for at, one in enumerate(rest) if one.startswith("repos/o/r/issues/")))
options = dict(zip(rest[::2], rest[1::2]))
kept = pathlib.Path("comments.json")
rows = json.loads(kept.read_text()) if kept.exists() else []
if "--jq" in options:
    for page in (rows[:2], rows[2:]):
        subprocess.run(["jq", "-r", options["--jq"]], input=json.dumps(page), text=True, check=True)
    sys.exit()
body = pathlib.Path(options["--field"].removeprefix("body=@")).read_text()
if options["--method"] == "POST":
    rows.append({{"id": len(rows) + 1, "user": {{"type": "Bot"}}, "body": body}})
else:
    next(row for row in rows if row["id"] == int(place.rpartition("/")[2]))["body"] = body
kept.write_text(json.dumps(rows))
"""
"""GitHub's command for its API, which keeps comments in a file and lists them in pages of two."""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("", []),
        ("--max-drop 1", ["--max-drop", "1"]),
        ("--criteria \"My limits\" --label 'a b'", ["--criteria", "My limits", "--label", "a b"]),
        ("--max-drop 1\n--seed 7\n", ["--max-drop", "1", "--seed", "7"]),
        ("--criteria '$(touch ran) `touch ran` *'", ["--criteria", "$(touch ran) `touch ran` *"]),
    ],
)
def test_the_arguments_are_split_as_a_shell_does_and_not_run(
    stranger_to_it: Command, arguments: str, told: list[str]
) -> None:
    ran = step(stranger_to_it, "gate", {**ASKED, "arguments": arguments}, {"lathe": RECORDER})
    assert ran.returncode == 0, ran.stderr
    called = json.loads((stranger_to_it.home / "called.json").read_text())
    assert called[called.index("@production") + 1 : called.index("--junit")] == told
    assert not (stranger_to_it.home / "ran").exists()
    assert (stranger_to_it.home / "output").read_text() == "outcome=proven\n"


@pytest.mark.parametrize(
    ("arguments", "tools"), [("--criteria 'My limits", {}), ("", {"pip": "#!/bin/sh\nexit 1\n"})], ids=["quote", "pip"]
)
def test_a_gate_that_cannot_begin_is_an_error(stranger_to_it: Command, arguments: str, tools: dict[str, str]) -> None:
    old = stranger_to_it.home / "lathe-gate" / "gate.md"
    old.parent.mkdir()
    old.write_text("another gate's")
    ran = step(stranger_to_it, "gate", {**ASKED, "arguments": arguments}, {"lathe": RECORDER, **tools})
    assert (ran.returncode, (stranger_to_it.home / "output").read_text()) == (3, "outcome=error\n")
    assert not (stranger_to_it.home / "called.json").exists(), "it must not run without its limits"
    assert not old.exists(), "the next step would comment with it"


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_each_gate_writes_over_its_own_comment_only(stranger_to_it: Command) -> None:
    home = stranger_to_it.home
    verdict = home / "lathe-gate" / "gate.md"
    verdict.parent.mkdir()
    kept = home / "comments.json"

    def comments(model: str, text: str) -> list[dict[str, Any]]:
        verdict.write_text(text)
        ran = step(stranger_to_it, "comment", {**ASKED, "model": model}, {"gh": GH})
        assert ran.returncode == 0, ran.stderr
        return list(json.loads(kept.read_text()))

    (first,) = comments("a\n--> \"'$(touch ran)", "### first")
    assert first["body"].endswith(" -->\n### first")
    assert not (home / "ran").exists()
    person = {"id": 2, "user": {"type": "User"}, "body": first["body"]}
    tool = {"id": 3, "user": {"type": "Bot"}, "body": f"coverage\n> {first['body']}"}
    kept.write_text(json.dumps([first, person, tool]))

    assert [one["body"][-3:] for one in comments("b", "### other model")][3:] == ["del"]
    after = comments("a\n--> \"'$(touch ran)", "### first again")
    assert after[0]["body"].endswith("### first again")
    assert after[1:3] == [person, tool]
    assert after[3]["body"].endswith("### other model")
    again = comments("b", "### other model again")
    assert len(again) == 4
    assert again[3]["body"].endswith("### other model again")


def test_without_a_verdict_there_is_no_comment(stranger_to_it: Command) -> None:
    ran = step(stranger_to_it, "comment", ASKED, {"gh": "#!/bin/sh\nexit 9\n"})
    assert ran.returncode == 0
