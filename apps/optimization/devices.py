"""The accelerator of this worker: what it reports of it, and that its memory belongs to one step at a time.

A worker of the queue `gpu` computes on the first device that its process may use. `manage.py worker` starts one for
each device of the machine.
"""

from __future__ import annotations

import fcntl
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from django.conf import settings

from apps.agents.contracts.acceleration import Acceleration
from apps.agents.contracts.errors.steps import StepDeviceMemoryTaken
from apps.agents.contracts.faults import Fault
from apps.agents.contracts.formats import Framework, format_spec
from apps.agents.contracts.job import Job, JobFailure
from apps.agents.contracts.phrasing import number_of_bytes
from apps.agents.measuring import nvidia
from apps.agents.measuring.acceleration import acceleration as look
from apps.agents.sandbox.process import JobFailed
from apps.models.models import ModelVersion
from apps.optimization.messages import RUN_STEP_ON_GPU
from apps.optimization.models import SessionStep, Worker

CONTEXT_BYTES = 512 * 2**20
"""What a library takes of a device before it has loaded a model."""
COPIES = 2
"""Of each model: its weights, and what it computes from them."""


@cache
def _here() -> Acceleration:
    return look()


def acceleration(queues: list[str]) -> Acceleration:
    """What a worker of these queues reports, tried out once. One that never computes on a device reports none."""
    return _here() if RUN_STEP_ON_GPU.queue in queues else Acceleration()


def framework_of(version: ModelVersion) -> Framework:
    return format_spec(version.metadata.format).framework


def is_for_another(step: SessionStep) -> bool:
    """Whether the step's model does not run on a device of this worker, but does on that of another live one."""
    if step.queue != RUN_STEP_ON_GPU.queue:
        return False
    framework = framework_of(step.session.version)
    if _here().obstacle(framework) is None:
        return False
    others = (worker for worker in Worker.objects.alive() if step.queue in worker.queues)
    return any(worker.acceleration.obstacle(framework) is None for worker in others)


@contextmanager
def reserved(queue: str) -> Iterator[bool]:
    """Holds this worker's device while the block runs; false if a step of another process of this machine has it.

    Steps of queues that compute on no device always go ahead. The lock ends with the process that holds it.
    """
    if queue != RUN_STEP_ON_GPU.queue or not (devices := _here().devices):
        yield True
        return
    folder = settings.LATHE.var_dir / "devices"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{re.sub(r'[^A-Za-z0-9-]', '-', devices[0].uuid)}.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def require_room(step: SessionStep, job: Job) -> None:
    """Raises `JobFailed` (transient) if other programs leave too little of the device's memory for the job's models."""
    if step.queue != RUN_STEP_ON_GPU.queue or not (devices := _here().devices):
        return
    models = [path for role, path in job.inputs.items() if role != "dataset" and path.is_file()]
    needed = CONTEXT_BYTES + COPIES * sum(path.stat().st_size for path in models)
    free = nvidia.free_bytes(devices[0].uuid)
    if free is None or free >= needed:
        return
    problem = StepDeviceMemoryTaken(device=devices[0].name, free=number_of_bytes(free), needed=number_of_bytes(needed))
    raise JobFailed(
        JobFailure(
            code=problem.code, message=problem.message, expected=True, transient=True, fault=Fault.INFRASTRUCTURE
        )
    )
