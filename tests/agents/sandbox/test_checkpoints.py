"""What a child keeps for a next attempt: taken over from its place, and told only where somebody keeps it."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest

from apps.agents.contracts.job import CheckpointKept, Event, Job, LogLine
from apps.agents.sandbox.child import JobContext
from apps.agents.sandbox.handed import Handed
from apps.agents.sandbox.process import run_job

IDENTITY = "f" * 64


def context(scratch: Path, identity: str = IDENTITY) -> tuple[JobContext, io.StringIO]:
    events = io.StringIO()
    return JobContext(Job(handler="any:one", scratch=scratch, identity=identity), events), events


def written(scratch: Path, content: str = "half") -> Path:
    file = scratch / "state.bin"
    file.write_text(content)
    return file


def test_a_checkpoint_is_taken_over_and_told_by_a_name_of_its_own(tmp_path: Path) -> None:
    job, events = context(tmp_path)
    for content in ("first", "second"):
        job.keep_checkpoint(written(tmp_path, content))
        assert not (tmp_path / "state.bin").exists()
    paths = [json.loads(line)["path"] for line in events.getvalue().splitlines()]
    assert [(tmp_path / path).read_text() for path in paths] == ["first", "second"]


def test_where_nobody_keeps_checkpoints_none_is_left_behind(tmp_path: Path) -> None:
    job, events = context(tmp_path, identity="")
    job.keep_checkpoint(written(tmp_path))
    assert (list(tmp_path.iterdir()), events.getvalue()) == ([], "")


def test_only_a_file_of_the_job_with_bytes_in_it_is_kept(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    job, events = context(scratch)
    (scratch / "link").symlink_to(written(tmp_path))
    for refused in (tmp_path / "state.bin", scratch / "link", scratch, scratch / "missing", written(scratch, "")):
        with pytest.raises(ValueError, match=r"outside its scratch folder|cannot be kept as a checkpoint"):
            job.keep_checkpoint(refused)
    assert events.getvalue() == ""
    assert (tmp_path / "state.bin").read_text() == "half"


def test_the_first_attempt_has_no_checkpoint_and_the_next_one_has_the_file(tmp_path: Path) -> None:
    scratch, kept = tmp_path / "scratch", tmp_path / "kept"
    scratch.mkdir()
    kept.write_text("half")
    said: list[Event] = []
    for inputs in ({}, {"checkpoint": kept}):
        job = Job(handler="tests.agents.children:go_on", scratch=scratch, inputs=inputs, identity=IDENTITY)
        run_job(job, on_event=said.append, should_stop=lambda: False)
    lines = [event.message for event in said if isinstance(event, LogLine)]
    assert lines == ["starts anew", "goes on from half"]
    assert [event.path for event in said if isinstance(event, CheckpointKept)] == ["checkpoints/000001"] * 2


# --- handed over to the worker ----------------------------------------------------------------------------------------


@pytest.fixture
def handing(tmp_path: Path) -> Job:
    """A job whose scratch folder has a file in a folder, beside a folder that is the worker's."""
    (tmp_path / "worker").mkdir()
    (tmp_path / "worker" / "1").write_text("the secret")
    (tmp_path / "scratch" / "checkpoints").mkdir(parents=True)
    (tmp_path / "scratch" / "checkpoints" / "1").write_text("half")
    return Job(handler="any:one", scratch=tmp_path / "scratch")


def test_a_file_that_is_handed_over_is_read_and_removed(handing: Job) -> None:
    handed = Handed(handing, "checkpoints/1")
    assert handed.file.read() == b"half"
    handed.remove()
    assert not list((handing.scratch / "checkpoints").iterdir())


def test_links_that_are_made_after_it_was_handed_over_lead_nowhere(handing: Job, tmp_path: Path) -> None:
    """A hostile child has the time for it: the worker stores files while the child runs."""
    handed = Handed(handing, "checkpoints/1")
    (handing.scratch / "checkpoints").rename(handing.scratch / "elsewhere")
    (handing.scratch / "checkpoints").symlink_to(tmp_path / "worker")
    assert handed.file.read() == b"half"
    handed.remove()
    assert (tmp_path / "worker" / "1").read_text() == "the secret"


@pytest.mark.parametrize(
    "path", ["link", "folder/1", "../worker/1", "checkpoints", "missing", "", "pipe", "checkpoints/../../worker/1"]
)
def test_what_leads_out_or_is_no_file_is_not_handed_over(handing: Job, tmp_path: Path, path: str) -> None:
    (handing.scratch / "link").symlink_to(tmp_path / "worker" / "1")
    (handing.scratch / "folder").symlink_to(tmp_path / "worker")
    os.mkfifo(handing.scratch / "pipe")
    with pytest.raises(ValueError, match="names a file outside its scratch folder, or none"):
        Handed(handing, path)
