"""Small handlers that real children run in place of the agents: quick, and they wait where a test wants to strike.

While a file named after the kind of step stands in the folder `gates` beside the scratch folders, a handler of that
kind writes its process id into its own and waits. (A child's environment is swept clean, so a variable would not
arrive; and it sees whether a file is elsewhere, but writes none there.)
"""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import time
import zipfile
from contextlib import suppress
from pathlib import Path

from apps.agents.contracts.job import CheckpointKept, JobResult, OutputFile
from apps.agents.contracts.reports.constraints import Holds
from apps.agents.contracts.reports.evaluation import EvaluationReport, Part
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.state import StepKind
from apps.agents.files.digest import digest_of
from apps.agents.sandbox.child import JobContext
from apps.errors import UserError
from tests.optimization import material

GATES = "gates"
_FRESH_S = 0.5
"""Who waits writes its note again all the time."""
TABLE = {kind: f"tests.optimization.handlers:{kind.value}" for kind in StepKind}
TABLE[StepKind.REFINE] = "apps.agents.handlers.refine:run"
TABLE[StepKind.MATRIX] = "apps.agents.handlers.speed_matrix:run"
"""In place of `apps.optimization.jobs.HANDLERS`. Proposals are quick to make."""


class Unfit(UserError):
    code = "test.unfit"
    sentence = "This cannot be done with {thing}."


def _pause(context: JobContext, kind: str) -> None:
    gate = context.job.scratch.parents[1] / GATES / kind
    while gate.exists():
        # Renamed into place: whoever waits for the note never reads half of one.
        note = context.job.scratch / f"{kind}.writing"
        note.write_text(str(os.getpid()))
        note.rename(note.with_suffix(".pid"))
        (context.job.scratch / "half-written").write_text("a file that must not stay")
        time.sleep(0.02)


def waiting_at(kind: str, scratch: Path) -> int | None:
    """The process id of the handler that waits at this gate, in a folder in `scratch`; `None` if none does."""
    for note in scratch.glob(f"*/{kind}.pid"):
        with suppress(FileNotFoundError):  # Its folder was removed in between.
            if time.time() - note.stat().st_mtime < _FRESH_S:
                return int(note.read_text())
    return None


def analyse(context: JobContext) -> JobResult:
    context.progress(0.5, "Looking", eta_s=1.0)
    context.log("A layer was found.")
    context.metric("layers", 2)
    _pause(context, "analyse")
    assert context.job.inputs["model"].read_bytes()
    return JobResult(body=material.ANALYSIS.model_dump(mode="json"))


def plan(context: JobContext) -> JobResult:
    _pause(context, "plan")
    assert context.job.arguments["analysis"] == material.ANALYSIS.model_dump(mode="json")
    return JobResult(body=material.PLAN.model_dump(mode="json"))


def plan_with_a_teacher(context: JobContext) -> JobResult:
    return JobResult(body=material.PLAN_WITH_A_TEACHER.model_dump(mode="json"))


def plan_with_a_student(context: JobContext) -> JobResult:
    assert context.job.arguments["student"]["parameters"] == 20_000
    return JobResult(body=material.PLAN_WITH_A_STUDENT.model_dump(mode="json"))


def optimize(context: JobContext) -> JobResult:
    _pause(context, "optimize")
    artifact = context.job.scratch / "out" / "model.onnx"
    artifact.parent.mkdir(exist_ok=True)
    # The same model with a `doc_string`: fields may be appended to a protobuf message.
    artifact.write_bytes(context.job.inputs["model"].read_bytes() + b"\x32\x04tiny")
    told = {"technique": context.job.arguments["technique"], "digest": digest_of(artifact)}
    result = material.RESULT.model_copy(update=told)
    file = OutputFile(role="artifact", path="out/model.onnx", filename="model.onnx")
    return JobResult(body=result.model_dump(mode="json"), files=(file,))


def learn_from_others(context: JobContext) -> JobResult:
    """Its artifact tells what it was made of: the model, the technique, and each further input with its role."""
    job, technique = context.job, context.job.arguments["technique"]
    artifact = job.scratch / "out" / "model.onnx"
    artifact.parent.mkdir(exist_ok=True)
    further = {role: (job.inputs[role].read_bytes(), kept) for role, kept in job.arguments.get("inputs", {}).items()}
    told = "".join(f"|{role}({kept})={content[-20:]!r}" for role, (content, kept) in further.items())
    text = f">{technique}{told}".encode()
    # A further `doc_string`, whose length takes two bytes.
    artifact.write_bytes(job.inputs["model"].read_bytes() + bytes([0x32, len(text) & 127 | 128, len(text) >> 7]) + text)
    result = material.RESULT.model_copy(update={"technique": technique, "digest": digest_of(artifact)})
    file = OutputFile(role="artifact", path="out/model.onnx", filename="model.onnx")
    return JobResult(body=result.model_dump(mode="json"), files=(file,))


def evaluate(context: JobContext) -> JobResult:
    _pause(context, "evaluate")
    assert context.job.inputs["model"].read_bytes() != context.job.inputs["original"].read_bytes()
    report = material.evaluation().model_copy(update={"part": Part(context.job.arguments["part"])})
    return JobResult(body=report.model_dump(mode="json"))


def plan_of_two(context: JobContext) -> JobResult:
    return JobResult(body=material.PLAN_OF_TWO.model_dump(mode="json"))


def evaluate_two(context: JobContext) -> JobResult:
    """Dynamic int8 is 3 times as fast and loses 0.1 points; float16 is 1.5 times as fast and loses nothing."""
    return JobResult(body=_of_two(context, 0.0))


def evaluate_lossy_when_judged(context: JobContext) -> JobResult:
    """The same, but float16 loses 2.5 points on the test examples."""
    return JobResult(body=_of_two(context, 2.5 if context.job.arguments["part"] == Part.EVALUATION else 0.0))


def evaluate_too_lossy(context: JobContext) -> JobResult:
    """It loses 1.5 points, and at most 1 is allowed."""
    report = material.evaluation(drop=1.5, verdict=Holds.VIOLATED)
    part = Part(context.job.arguments["part"])
    return JobResult(body=report.model_copy(update={"part": part}).model_dump(mode="json"))


def evaluate_timed(context: JobContext) -> JobResult:
    """As `evaluate`, with the interval of the candidate's time."""
    return JobResult(body=_timed(context, material.evaluation()))


def evaluate_worn(context: JobContext) -> JobResult:
    """The original has lost ten points, and takes 1 ms."""
    report = material.evaluation()
    (metric,) = report.metrics
    worn = metric.model_copy(update={"original": Estimate(value=80.0, low=78.0, high=82.0)})
    return JobResult(body=_timed(context, report.model_copy(update={"metrics": (worn,)})))


def _timed(context: JobContext, report: EvaluationReport) -> dict[str, object]:
    told = {"original_blocks_ms": (0.98, 1.0, 1.02) * 4, "candidate_p50_ms": Estimate(value=0.33, low=0.32, high=0.34)}
    latency = report.latency.model_copy(update=told)
    part = Part(context.job.arguments["part"])
    return report.model_copy(update={"latency": latency, "part": part}).model_dump(mode="json")


def _of_two(context: JobContext, half_loses: float) -> dict[str, object]:
    half = context.job.arguments["technique"] == "onnx-float16"
    speedup, drop = (1.5, half_loses) if half else (3.0, 0.1)
    verdict = Holds.HOLDS if drop <= 1 else Holds.VIOLATED
    report = material.evaluation(speedup=speedup, drop=drop, verdict=verdict)
    return report.model_copy(update={"part": Part(context.job.arguments["part"])}).model_dump(mode="json")


def evaluate_on_a_busy_machine(context: JobContext) -> JobResult:
    """812 of 900 timed runs are disturbed, so the speed is not known."""
    return JobResult(body=material.evaluation_on_a_busy_machine().model_dump(mode="json"))


def package(context: JobContext) -> JobResult:
    _pause(context, "package")
    path = context.job.scratch / "out" / "package.zip"
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for role, source in context.job.inputs.items():
            # Fixed times: the same package every time.
            archive.writestr(zipfile.ZipInfo(role), source.read_bytes())
    return JobResult(body={}, files=(OutputFile(role="package", path="out/package.zip", filename="package.zip"),))


def inspect(context: JobContext) -> JobResult:
    _pause(context, "inspect")
    return JobResult(body=material.MODEL.model_dump(mode="json"))


# --- handlers that go wrong ------------------------------------------------------------------------------------------


def refuse(context: JobContext) -> JobResult:
    raise Unfit(thing="a teapot")


def stumble(context: JobContext) -> JobResult:
    raise ZeroDivisionError("a bug of ours \x00")


def swallow_memory(context: JobContext) -> JobResult:
    if context.job.arguments.get("batch_divisor", 1) < 2:
        raise MemoryError
    return analyse(context)


def say_nonsense(context: JobContext) -> JobResult:
    return JobResult(body={"layers": "many"})


def dawdle(context: JobContext) -> JobResult:
    """Works for ever, and leaves a child of its own and files."""
    (context.job.scratch / "half-written").write_text("x")
    while True:
        context.progress(0.1, "Working")
        time.sleep(0.02)


def always_out_of_memory(context: JobContext) -> JobResult:
    raise MemoryError


def fill_the_disk(context: JobContext) -> JobResult:
    raise OSError(errno.ENOSPC, "No space left on device")


def crash(context: JobContext) -> JobResult:
    os.kill(os.getpid(), signal.SIGSEGV)
    raise AssertionError("unreachable")


def chatter(context: JobContext) -> JobResult:
    for number in range(200):
        context.progress(number / 200, "Working")
        context.log(f"line {number}")
        time.sleep(0.005)
    return analyse(context)


def package_that_dies_when_tried(context: JobContext) -> JobResult:
    """The real one, in a child that a native library takes down with it unless nothing is tried."""
    if context.job.arguments.get("untried") is None:
        os.kill(os.getpid(), signal.SIGKILL)
    # Here only: the real one loads numpy, and every child of the tests would wait for that.
    from apps.agents.handlers import package as packing

    return packing.run(context)


# --- a long technique that keeps checkpoints -------------------------------------------------------------------------

ROUNDS = 4


def train(context: JobContext) -> JobResult:
    """In place of `optimize`: each round follows from the one before, and every round can be waited for and kept."""
    done, state = _trained_so_far(context)
    for number in range(done + 1, ROUNDS + 1):
        _pause(context, f"round{number}")
        state = hashlib.sha256(f"{state} {number}".encode()).hexdigest()
        context.log(f"Round {number} is done.")
        keep(context, f"{number} {state}")
    artifact = context.out / "model.onnx"
    doc_string = state[:32].encode()
    artifact.write_bytes(context.job.inputs["model"].read_bytes() + b"\x32" + bytes([len(doc_string)]) + doc_string)
    result = material.RESULT.model_copy(update={"technique": context.job.arguments["technique"]})
    file = OutputFile(role="artifact", path="out/model.onnx", filename="model.onnx")
    return JobResult(body=result.model_dump(mode="json"), files=(file,))


def _trained_so_far(context: JobContext) -> tuple[int, str]:
    if context.checkpoint is None:
        return 0, "untrained"
    number, _, state = context.checkpoint.read_text().partition(" ")
    return int(number), state


def keep(context: JobContext, content: str) -> None:
    file = context.job.scratch / "checkpoint.new"
    file.write_text(content)
    context.keep_checkpoint(file)


def run_out_of_memory_half_way(context: JobContext) -> JobResult:
    """In place of `analyse`: the first attempt keeps what it has, one with smaller batches goes on from it."""
    if context.job.arguments.get("batch_divisor", 1) < 2:
        keep(context, "half")
        raise MemoryError
    context.log("anew" if context.checkpoint is None else f"from {context.checkpoint.read_text()}")
    return analyse(context)


def refuse_half_way(context: JobContext) -> JobResult:
    context.log("anew" if context.checkpoint is None else f"from {context.checkpoint.read_text()}")
    keep(context, "half")
    raise Unfit(thing="a teapot")


def dawdle_with_a_checkpoint(context: JobContext) -> JobResult:
    keep(context, "half")
    return dawdle(context)


def keep_one_after_the_other(context: JobContext) -> JobResult:
    """Keeps five, and runs out of memory."""
    for number in range(1, 6):
        keep(context, str(number))
    context.log("All are kept.")
    raise MemoryError


def keep_and_succeed(context: JobContext) -> JobResult:
    for number in range(1, 4):
        keep(context, str(number))
    return analyse(context)


def name_a_checkpoint_elsewhere(context: JobContext) -> JobResult:
    context.send(CheckpointKept(path="../../../etc/passwd"))
    return dawdle(context)


# --- the real training, where a test can strike ----------------------------------------------------------------------

STRUCK_STEP = 24
"""The step of `recover` at which a test can make it wait."""


class Struck(JobContext):
    """Waits in the middle of a training, after a check and before its checkpoint."""

    def progress(self, fraction: float, message: str, eta_s: float | None = None) -> None:
        super().progress(fraction, message, eta_s)
        if f"step {STRUCK_STEP} of" in message:
            _pause(self, f"step{STRUCK_STEP}")


def recover(context: JobContext) -> JobResult:
    """The real `optimize`, with a checkpoint at every check of a training."""
    # Only here, because the other children of the tests do not need it.
    from apps.agents.handlers import optimize as real
    from apps.agents.techniques.training import trainer

    trainer.CHECKPOINT_EVERY_S = 0.0
    return real.run(Struck(context.job, context._events))


def analyse_for_a_recovery(context: JobContext) -> JobResult:
    report = material.ANALYSIS.model_copy(update={"model": material.STATE_DICT})
    return JobResult(body=report.model_dump(mode="json"))


def plan_a_recovery(context: JobContext) -> JobResult:
    return JobResult(body=material.PLAN_OF_A_RECOVERY.model_dump(mode="json"))


MANY_STEPS = 150


def learn_in_many_steps(context: JobContext) -> JobResult:
    """In place of `analyse`: a loss that falls for a second and a half."""
    for step in range(1, MANY_STEPS + 1):
        context.metric("loss", 1 / step, step=step)
        time.sleep(0.01)
    return analyse(context)
