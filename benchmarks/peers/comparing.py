"""One model: its examples are divided, every entry makes something of it, and all of that is measured together."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from apps.agents.contracts.values import Value
from apps.agents.measuring.machine import describe_machine
from benchmarks.peers import measuring, parts
from benchmarks.peers.catalogue import Entry
from benchmarks.peers.form import FORMS, Form
from benchmarks.peers.makers.job import Job
from benchmarks.peers.making import Made, make, reason_of, run
from benchmarks.peers.results import Found, Row
from benchmarks.peers.subjects import Subject
from tests.assets.fetch import AssetUnavailableError

MEASURED_WITHIN_S = 1200.0
ONE_THREAD = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
"""TensorFlow fixes the number when it computes for the first time, which is long before anything is timed."""
SESSION_TAKES = 6.0
"""How many of its budgets a session may take on a busy machine, with the checks of the uploads and the package."""


class ComparisonFailed(Exception):
    """The examples were not divided, or nothing was measured: our own part of the work has failed."""


def compare(subject: Subject, chosen: Sequence[Entry], form: str) -> Found:
    """Everything on one model, told as it comes."""
    print(f"{subject.label} …", flush=True)
    try:
        model, data = subject.obtain()
    except AssetUnavailableError as error:
        return Found(subject=subject.key, not_run=str(error))
    load, start = os.getloadavg()[0], time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"peers-{subject.key}-") as folder:
        try:
            found = _Comparison(subject, model, data, FORMS[form], Path(folder)).found(chosen)
        except ComparisonFailed as error:
            found = Found(subject=subject.key, not_run=str(error))
    told = {
        "day": f"{datetime.now(UTC):%Y-%m-%d}",
        "form": form,
        "machine": _machine(),
        "took_s": time.monotonic() - start,
    }
    return found.model_copy(update={**told, "load": (load, os.getloadavg()[0])})


def _machine() -> str:
    machine = describe_machine()
    vector = [flag for flag in machine.flags if "vnni" in flag or flag in ("avx2", "avx512f", "amx_int8")]
    return (
        f"{machine.cpu}, {machine.cores} cores ({', '.join(sorted(vector))}), {machine.system}, Python {machine.python}"
    )


class _Comparison:
    """One model: its examples are divided, the entries make something of it, and that is measured."""

    def __init__(self, subject: Subject, model: Path, data: Path, form: Form, folder: Path) -> None:
        self._subject, self._model, self._data, self._form, self._folder = subject, model, data, form, folder
        self._parts = parts.Request(
            model=model, format=subject.format, data=data, spec=subject.spec, folder=self._place("parts")
        )

    def found(self, chosen: Sequence[Entry]) -> Found:
        self._alone(parts.__name__, self._parts, self._place("dividing"))
        rows: dict[str, Row] = {}
        made: dict[str, Made] = {}
        for entry in (one for one in chosen if self._subject.format in one.formats):
            row, artifact = make(entry, self._job(entry), self._limit_s(entry))
            rows[entry.key] = row
            if artifact is not None:
                made[entry.key] = artifact
            print(f"  {entry.label}: {row.failure or 'made'} ({row.wall_s:.0f} s, {row.cpu_s:.0f} CPU s)", flush=True)
        return self._measured(rows, made)

    def _job(self, entry: Entry) -> Job:
        return Job(
            model=str(self._model),
            format=self._subject.format,
            calibration=str(self._parts.calibration or ""),
            given=str(self._parts.given),
            spec=self._subject.spec.model_dump(mode="json"),
            out=str(self._place(f"of-{entry.key}")),
            minutes=self._form.minutes,
            transformer=self._subject.transformer,
            options=dict(entry.options),
        )

    def _limit_s(self, entry: Entry) -> float:
        return SESSION_TAKES * 60 * self._form.minutes if entry.is_lathe else self._form.making_s

    def _measured(self, rows: dict[str, Row], made: dict[str, Made]) -> Found:
        folder = self._place("measuring")
        request = measuring.Request(
            model=self._model,
            format=self._subject.format,
            data=self._data,
            spec=self._subject.spec,
            artifacts=tuple(measuring.Artifact(key=key, path=one.path, format=one.format) for key, one in made.items()),
            timing_s=self._form.timing_s,
            folder=folder,
            answer=folder / "answer.json",
        )
        self._alone(measuring.__name__, request, folder)
        answer = measuring.Answer.model_validate_json(request.answer.read_text(encoding="utf-8"))
        for key, reason in answer.failures.items():
            rows[key] = rows[key].model_copy(update={"failure": f"what it made does not run: {reason}"})
        for key, found in answer.measured.items():
            rows[key] = rows[key].model_copy(update={"measured": found})
        return Found(
            subject=self._subject.key,
            rows=tuple(rows.values()),
            size_bytes=answer.size_bytes,
            examples=answer.examples,
            given=answer.given,
            control=answer.control,
        )

    def _alone(self, module: str, request: Value, folder: Path) -> None:
        """Runs one of this benchmark's own modules in a process of its own. Raises `ComparisonFailed`."""
        path = folder / "request.json"
        path.write_text(request.model_dump_json(), encoding="utf-8")
        ended = run([sys.executable, "-m", module, str(path)], folder, MEASURED_WITHIN_S, ONE_THREAD)
        if ended.code:
            raise ComparisonFailed(f"{module} has failed: {reason_of(ended, MEASURED_WITHIN_S)}")

    def _place(self, name: str) -> Path:
        folder = self._folder / name
        folder.mkdir()
        return folder
