"""What a session costs beyond its work: `python -m benchmarks.step_overhead`, two minutes on a quiet machine.

One session of one candidate (static int8) on the ResNet sample runs through an installation of its own: PostgreSQL,
Redis, a worker of each queue. Then the same jobs run once more in one process that calls their handlers, one after the
other: the difference is what queues, claims, children, walls and the store cost. Last, the same model is made and
measured as a script would: ONNX Runtime's own quantization, and one evaluation with the same timing.

    seconds of the session ≤ 1.5 × those of the script + 2
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.installation import REDIS, ROOT, SERVER, installed, wait_until
from benchmarks.load.report import Table

if TYPE_CHECKING:
    from apps.agents.contracts.job import Job

TECHNIQUE = "onnx-static-int8"
CRITERIA = {"objective": "latency", "allowed_techniques": [TECHNIQUE], "budget": {"minutes": 10, "candidates": 1}}
FACTOR, BESIDES_S = 1.5, 2.0


@dataclass(frozen=True)
class Stage:
    """One step as the portal ran it."""

    key: str
    waited_s: float
    """From the end of the step before: deciding, sending, waiting in the queue, claiming."""
    ran_s: float


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--database", default=f"{SERVER}/lathe_step_overhead", help="made, and removed afterwards")
    asked.add_argument("--redis", default=f"{REDIS}/12", help="an index of Redis that is empty")
    asked.add_argument("--jobs", type=Path, help=argparse.SUPPRESS)
    given = asked.parse_args()
    if given.jobs:
        print(json.dumps(by_hand(json.loads(given.jobs.read_text()))))
        return 0
    # Both sides measure at once, so that a machine that is never quiet delays neither.
    with installed(given.database, given.redis, LATHE_QUIET_WAIT_S="0") as place:
        with place.workers("default", "checks", "cpu"):
            sessions = list(_sessions())
        took_s, stages = measured(sessions[-1])
        with jobs_of(sessions[-1]) as jobs:
            direct = _in_one_process(jobs)
    print(table(stages, direct))
    script_s = direct["library"] + direct["evaluation"]
    bound_s = FACTOR * script_s + BESIDES_S
    print(
        f"\nThe session took {took_s:.1f} s, the same handlers {sum(direct['handlers'].values()):.1f} s in one process,"
    )
    print(f"a script {script_s:.1f} s ({direct['library']:.1f} s to make the model, the rest to judge it).")
    print(
        f"Bound: {FACTOR} × {script_s:.1f} + {BESIDES_S:.0f} = {bound_s:.1f} s. Load average {os.getloadavg()[0]:.1f}."
    )
    return int(took_s > bound_s)


# --- through the portal ----------------------------------------------------------------------------------------------


def _sessions() -> Iterator[Any]:
    """Two sessions of one candidate, one after the other: the first finds no library loaded, the second all of them."""
    from apps.optimization import demo
    from apps.optimization.services import session_start

    made = demo.ensure_demo()
    wait_until(lambda: made.ready, "the samples are checked", 600)
    for seed in (1, 2):
        given = {"user": made.user, "version": made.version, "dataset": made.dataset}
        session = session_start(**given, criteria=CRITERIA, seed=seed, make_anew=True)
        wait_until(lambda one=session: _has_ended(one), "the session ends", 900)
        yield session


def _has_ended(session: Any) -> bool:
    session.refresh_from_db()
    if session.status == "failed":
        raise SystemExit(f"The session failed: {session.error}")
    return bool(session.status == "completed")


def measured(session: Any) -> tuple[float, list[Stage]]:
    """The seconds from its start to its end, and its steps."""
    stages, at = [], session.created_at
    for step in session.steps.order_by("started_at"):
        waited_s, ran_s = (step.started_at - at).total_seconds(), (step.finished_at - step.started_at).total_seconds()
        stages.append(Stage(step.key, waited_s, ran_s))
        at = step.finished_at
    stages.append(Stage("verdict", (session.finished_at - at).total_seconds(), 0.0))
    return (session.finished_at - session.created_at).total_seconds(), stages


@contextmanager
def jobs_of(session: Any) -> Iterator[dict[str, Job]]:
    """The jobs of its steps, as the worker gave them to children."""
    from apps.optimization import jobs

    with tempfile.TemporaryDirectory(prefix="lathe-benchmark-") as root, ExitStack() as files:
        found = {}
        for number, step in enumerate(session.steps.select_related("session").order_by("started_at")):
            folder = Path(root) / str(number)
            folder.mkdir()
            found[step.key] = files.enter_context(jobs.prepared(step, folder))
        yield found


def _in_one_process(jobs: dict[str, Job]) -> dict[str, Any]:
    """What `by_hand` finds, in a fresh process with one thread, as a child has."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({key: job.model_dump(mode="json") for key, job in jobs.items()}, file)
        file.flush()
        command = [sys.executable, "-m", "benchmarks.step_overhead", "--jobs", file.name]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path[:2])}
        done = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


# --- by hand ---------------------------------------------------------------------------------------------------------


def by_hand(bodies: dict[str, Any]) -> dict[str, Any]:
    """The seconds of each job's handler, of ONNX Runtime's quantization, and of the last evaluation."""
    from apps.agents.contracts.job import Job
    from apps.agents.sandbox.child import JobContext, handler_of

    jobs = {key: Job.model_validate(body) for key, body in bodies.items()}
    handlers = {}
    with open(os.devnull, "w") as events:
        for key, job in jobs.items():
            begun = time.perf_counter()
            handler_of(job)(JobContext(job, events))
            handlers[key] = time.perf_counter() - begun
    made = next(job for job in jobs.values() if job.handler.endswith("optimize:run"))
    judged = [key for key, job in jobs.items() if job.handler.endswith("evaluate:run")][-1]
    return {"handlers": handlers, "library": _quantized_s(made), "evaluation": handlers[judged]}


def _quantized_s(job: Job) -> float:
    """ONNX Runtime's static quantization with as many calibration examples as the step had."""
    import numpy as np
    from onnxruntime import quantization

    begun = time.perf_counter()
    examples = job.arguments["parameters"].get("calibration_examples", 100)
    images = np.load(job.inputs["dataset"])
    name = next(iter(_input_names(job.inputs["model"])))
    inputs = images[name if name in images else images.files[0]][:examples].astype(np.float32)

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.feeds = iter([{name: one[np.newaxis]} for one in inputs])

        def get_next(self) -> dict[str, Any] | None:
            return next(self.feeds, None)

    types = {"activation_type": quantization.QuantType.QUInt8, "weight_type": quantization.QuantType.QInt8}
    out = job.scratch / "by_hand.onnx"
    quantization.quantize_static(job.inputs["model"], out, Reader(), per_channel=True, **types)
    return time.perf_counter() - begun


def _input_names(model: Path) -> list[str]:
    import onnx

    return [one.name for one in onnx.load(model).graph.input]


def table(stages: list[Stage], direct: dict[str, Any]) -> Table:
    lines = [
        (one.key, f"{one.waited_s:.2f}", f"{one.ran_s:.2f}", f"{hand:.2f}", f"{one.ran_s - hand:.2f}")
        for one in stages
        for hand in [direct["handlers"].get(one.key, 0.0)]
    ]
    waited_s, ran_s = sum(one.waited_s for one in stages), sum(one.ran_s for one in stages)
    hand_s = sum(direct["handlers"].values())
    lines.append(("together", f"{waited_s:.2f}", f"{ran_s:.2f}", f"{hand_s:.2f}", f"{ran_s - hand_s:.2f}"))
    return Table(("step", "s before it", "s it ran", "s of its handler", "s around it"), tuple(lines))


if __name__ == "__main__":
    sys.exit(main())
