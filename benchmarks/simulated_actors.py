"""What the workers of `benchmarks.sixteen_workers` load: the product's actors, whose steps only take their time.

Claims, leases, stored files, reports and every message are real. In place of a child process, a step waits.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from typing import Any

from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.job import Job, JobResult, OutputFile
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

SHORTEST_S, LONGEST_S = 20.0, 40.0
CANDIDATES = 64
WORLD = resnet()


def length_s(job: Job) -> float:
    """How long a step takes: the same in every run. The analysis and the plan are not what is looked at."""
    if job.handler.endswith((":analyse", ".plan:run")):
        return 0.1
    drawn = zlib.crc32(job.scratch.name.encode()) % 1000
    return SHORTEST_S + (LONGEST_S - SHORTEST_S) * drawn / 1000


def simulated(job: Job, *, on_event: Callable[..., None], should_stop: Callable[[], bool], limits: Any) -> JobResult:
    """Waits as long as the step takes, renews nothing and tells nothing, and returns what its kind returns."""
    end = time.monotonic() + length_s(job)
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(1.0, left))
        should_stop()
    return RESULTS[job.handler.split("handlers.")[1]](job)


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
