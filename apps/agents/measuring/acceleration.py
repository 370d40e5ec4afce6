"""Which runtimes compute on this machine's devices: each is tried out once, in a process of its own.

A library that is installed may still lack what it needs on a device: ONNX Runtime lists an execution provider whose
libraries it cannot load, and then computes on the CPU without a word. So each computes something there.
"""

from __future__ import annotations

import json
import sys

from apps.agents.contracts.acceleration import Acceleration, RuntimeOnDevice
from apps.agents.contracts.formats import Framework
from apps.agents.measuring import nvidia
from apps.agents.sandbox.programs import SOURCE_ROOT, run_to_end

PROBES = {
    Framework.ONNX: "apps.agents.backends.onnx.on_device",
    Framework.TORCH: "apps.agents.backends.torch.on_device",
    Framework.TENSORFLOW: "apps.agents.backends.tensorflow.on_device",
}
"""Programs that compute on a device and print `RuntimeOnDevice` as a line of JSON. LiteRT computes on the CPU only."""
TIMEOUT_S = 120.0


def acceleration() -> Acceleration:
    """This process's devices and the runtimes that compute on them. Takes seconds, but only if there is a device."""
    devices = nvidia.devices()
    if not devices:
        return Acceleration()
    return Acceleration(devices=devices, runtimes=tuple(tried(framework) for framework in PROBES))


def tried(framework: Framework) -> RuntimeOnDevice:
    """What the probe of `framework` has found; a probe that fails is a runtime that does not compute there."""
    ended = run_to_end([sys.executable, "-m", PROBES[framework]], folder=SOURCE_ROOT, limit_s=TIMEOUT_S)
    if not ended.well:
        return RuntimeOnDevice(framework=framework, computes=False, reason=f"its trial {ended.reason}")
    return RuntimeOnDevice.model_validate(json.loads(ended.output.splitlines()[-1]))
