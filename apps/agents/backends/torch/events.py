"""Timing on CUDA with the device's own events, and its clock rate."""

from __future__ import annotations

import resource
import time

import torch

from apps.agents.measuring import nvidia
from apps.agents.measuring.stopwatch import NANOSECONDS_PER_MS, Reading, Run


class EventStopwatch:
    """`apps.agents.measuring.stopwatch.Stopwatch` of the current CUDA device.

    The time between two events on its stream: copies in, kernels, copies out, and gaps where the host was too slow.
    Work of the host before the first and after the last of them is not included.
    """

    def now_ns(self) -> int:
        return time.perf_counter_ns()

    def time(self, run: Run, repeat: int) -> Reading:
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        before = resource.getrusage(resource.RUSAGE_SELF)
        cpu = time.process_time_ns()
        start.record()
        for _ in range(repeat):
            run()
        end.record()
        end.synchronize()
        cpu_ns = time.process_time_ns() - cpu
        after = resource.getrusage(resource.RUSAGE_SELF)
        return Reading(
            int(start.elapsed_time(end) * NANOSECONDS_PER_MS),
            cpu_ns,
            after.ru_nivcsw - before.ru_nivcsw,
            after.ru_nvcsw - before.ru_nvcsw,
        )

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)

    def describe(self) -> str:
        # The driver counts all devices of the machine, PyTorch those that it may use: the device goes by its own id.
        uuid = torch.cuda.get_device_properties(torch.cuda.current_device()).uuid
        return f"CUDA events; {nvidia.clocks(f'GPU-{uuid}')}"
