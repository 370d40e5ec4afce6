"""What the workers of benchmarks on queues load: the product's actors, whose steps only take their time.

Claims, leases, stored files, reports and every message are real. In place of a child process, a step waits. What a
benchmark may change stands in the environment: SIMULATED_SHORTEST_S and SIMULATED_LONGEST_S, how long the steps of
candidates take; SIMULATED_CANDIDATES, how many a plan has; SIMULATED_RUNS, a file that gets a line for each run of a
step; SIMULATED_TELL_EVERY_S, how often a running step writes a line with its time into the session's log.
"""

from __future__ import annotations

import os
import random
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.job import Event, Job, JobResult, LogLine, OutputFile
from apps.agents.contracts.reports.evaluation import Part
from apps.agents.contracts.reports.optimization import OptimizationResult
from apps.agents.contracts.state import CandidateRecord, Plan, Prediction
from apps.agents.planning.chains import application_of
from apps.agents.techniques.base import digest_of
from apps.agents.techniques.catalogue import catalogue
from apps.models.actors import inspect_version
from apps.optimization import runner
from apps.optimization.actors import advance, run_step
from tests.agents.inmemory import STATIC, Truth, evaluation, resnet

SHORTEST_S = float(os.environ.get("SIMULATED_SHORTEST_S", "20"))
LONGEST_S = float(os.environ.get("SIMULATED_LONGEST_S", "40"))
CANDIDATES = int(os.environ.get("SIMULATED_CANDIDATES", "64"))
TELL_EVERY_S = float(os.environ.get("SIMULATED_TELL_EVERY_S", "inf"))
RUNS = os.environ.get("SIMULATED_RUNS")
TOLD = "told at"
"""A line of the log says this and the seconds since 1970."""
WORLD = resnet()


def length_s(name: str, shortest_s: float, longest_s: float) -> float:
    """How long the step that works in the folder `name` takes, whichever attempt it is."""
    step = "-".join(name.split("-")[:2])
    drawn = zlib.crc32(step.encode()) % 1000
    return shortest_s + (longest_s - shortest_s) * drawn / 1000


def simulated(
    job: Job, *, on_event: Callable[[Event], None], should_stop: Callable[[], bool], limits: Any
) -> JobResult:
    """Waits as long as the step takes, and returns what its kind returns."""
    kind = job.handler.split("handlers.")[1]
    _note_run(job)
    # The analysis and the plan are not what is looked at.
    takes_s = 0.1 if kind in ("analysis:analyse", "plan:run") else length_s(job.scratch.name, SHORTEST_S, LONGEST_S)
    end = time.monotonic() + takes_s
    while (left := end - time.monotonic()) > 0:
        # Not in step with anything else that happens at intervals.
        time.sleep(min(1.0, left, TELL_EVERY_S * random.uniform(0.8, 1.2)))
        should_stop()
        if takes_s > TELL_EVERY_S:
            on_event(LogLine(message=f"{TOLD} {time.time():.4f}"))
    return RESULTS[kind](job)


def _note_run(job: Job) -> None:
    if RUNS:
        with Path(RUNS).open("a") as file:
            file.write(f"{job.scratch.name}\n")


def plan(job: Job) -> JobResult:
    candidates = tuple(_candidate(number) for number in range(1, CANDIDATES + 1))
    return JobResult(body=Plan(summary="Many.", candidates=candidates, omitted=()).model_dump(mode="json"))


def _candidate(number: int) -> CandidateRecord:
    spec = catalogue()[STATIC]
    link = application_of(spec, spec.resolve({"calibration_examples": number}))
    hoped_for = Prediction(speedup=2.0, size_ratio=3.0, metric_drop_points=0.1, risk="low", basis="Told.")
    return CandidateRecord(key=f"c{number:02d}", steps=(link,), predicted=hoped_for, reason="One of many.")


def optimize(job: Job) -> JobResult:
    path = job.scratch / "out" / "model.onnx"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(job.inputs["model"].read_bytes() + str(job.scratch.name).encode())
    size, digest = path.stat().st_size, digest_of(path)
    result = OptimizationResult(
        technique=STATIC,
        parameters={},
        size_bytes=size,
        input_size_bytes=size,
        digest=digest,
        libraries={},
        seed=0,
        checks=(),
    )
    file = OutputFile(role="artifact", path="out/model.onnx", filename="model.onnx")
    return JobResult(body=result.model_dump(mode="json"), files=(file,))


def evaluate(job: Job) -> JobResult:
    arguments = job.arguments
    part, finalists = Part(arguments["part"]), len(arguments.get("finalists", ("alone",)))
    criteria = Criteria.model_validate(arguments["criteria"])
    report = evaluation(WORLD, Truth(2.0, 3.0, 0.1), criteria, part=part, finalists=finalists)
    return JobResult(body=report.model_dump(mode="json"))


def package(job: Job) -> JobResult:
    path = job.scratch / "out" / "package.zip"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"a package")
    return JobResult(body={}, files=(OutputFile(role="package", path="out/package.zip", filename="package.zip"),))


RESULTS: dict[str, Callable[[Job], JobResult]] = {
    "analysis:analyse": lambda job: JobResult(body=WORLD.analysis.model_dump(mode="json")),
    "plan:run": plan,
    "optimize:run": optimize,
    "evaluate:run": evaluate,
    "package:run": package,
}
runner.run_job = simulated

__all__ = ["advance", "inspect_version", "run_step"]
