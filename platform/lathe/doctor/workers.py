"""What the live workers report: code, clock, sandbox, disk, and what computes on their devices."""

from __future__ import annotations

from collections.abc import Iterator

from apps.agents.contracts.phrasing import listed, number_of_bytes
from apps.optimization.models import Worker
from apps.release import code_digest
from lathe.doctor.findings import Finding, failed, ok, warning
from lathe.doctor.machine import LARGEST_SKEW_S, LEAST_FREE_BYTES
from lathe.errors import DATABASE_AWAY


def reports() -> Iterator[Finding]:
    """One finding for each thing that a worker says and that is not as it should be."""
    try:
        living = list(Worker.objects.alive())
    except DATABASE_AWAY:
        return
    found = [one for worker in living for one in of_worker(worker)]
    yield from found
    if living and not found:
        yield ok("workers.reports", f"{len(living)} live workers run the same code, on clocks that agree.")


def of_worker(worker: Worker) -> Iterator[Finding]:
    """What a live worker says and is not as it should be."""
    yield from _code(worker)
    if worker.clock_skew_s is not None and abs(worker.clock_skew_s) > LARGEST_SKEW_S:
        yield failed(
            "workers.clock",
            f"The clock of {worker.name} is {worker.clock_skew_s:+.1f} s from the database's.",
            "Synchronize the clocks (NTP).",
        )
    if worker.opens_uploads and (sandbox := worker.sandbox) is not None and sandbox.gaps:
        yield warning(
            "workers.sandbox",
            f"The sandbox on {worker.name} is {sandbox.level.value}: uploaded code could {listed(sandbox.gaps)}.",
            "Run it where the kernel has what is named (docs/security.md).",
        )
    free = worker.scratch_free_bytes
    if free is not None and free < LEAST_FREE_BYTES:
        yield failed(
            "workers.disk",
            f"{worker.name} started with {number_of_bytes(free)} for temporary files.",
            "Make room there.",
        )
    if "gpu" in worker.queues:
        yield from _device(worker)


def _code(worker: Worker) -> Iterator[Finding]:
    if worker.code != code_digest():
        theirs = worker.code or "of an older version"
        yield failed(
            "workers.version",
            f"{worker.name} runs other code ({theirs}) than this process ({code_digest()}).",
            "Build and start web and workers from the same version.",
        )


def _device(worker: Worker) -> Iterator[Finding]:
    acceleration = worker.acceleration
    if not acceleration.devices:
        yield failed(
            "workers.device",
            f"{worker.name} serves the queue gpu and reports no device.",
            "Give it a device (NVIDIA Container Toolkit, nvidia-smi in the container), or other LATHE_QUEUES.",
        )
    for runtime in acceleration.runtimes:
        if not runtime.computes:
            yield warning(
                "workers.provider",
                f"{runtime.framework.label} does not compute on the device of {worker.name}: {runtime.reason}.",
                "Use the image worker-gpu. Sessions with such models and a target on the device are refused meanwhile.",
            )
