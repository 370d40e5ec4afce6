"""Steps that take too much where a test orders it. A child sees whether a file is elsewhere, but reads none there."""

from __future__ import annotations

import time

from apps.agents.contracts.job import JobResult
from apps.agents.sandbox.child import JobContext
from tests.optimization import handlers as usual

TAKE_MEMORY = "take-memory"
TAKE_FOR_EVER = "take-for-ever"
TAKEN_BYTES = 1 << 30


def optimize(context: JobContext) -> JobResult:
    """The usual one, unless the folder of gates holds an order."""
    if _ordered(context, TAKE_MEMORY) and context.job.arguments.get("batch_divisor", 1) < 2:
        taken = bytearray(TAKEN_BYTES)
        for page in range(0, TAKEN_BYTES, 4096):
            taken[page] = 1
        time.sleep(30)
    while _ordered(context, TAKE_FOR_EVER):
        time.sleep(0.1)
    return usual.optimize(context)


def _ordered(context: JobContext, order: str) -> bool:
    return (context.job.scratch.parents[1] / usual.GATES / order).exists()
