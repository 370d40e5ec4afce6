"""What a worker can compute on besides its CPU: the devices it has, and which runtimes were seen to compute on them."""

from __future__ import annotations

from apps.agents.contracts.formats import Framework
from apps.agents.contracts.values import Value


class AcceleratorDevice(Value):
    """A device as its driver describes it."""

    uuid: str
    name: str
    memory_bytes: int | None
    """Its own memory; `None` if the driver does not say, as for one that shares the CPU's."""
    compute_capability: str
    """Which instructions it has: `9.0` for an H100."""
    driver: str


class RuntimeOnDevice(Value):
    """Whether one runtime computes on the worker's device, tried out when the worker started."""

    framework: Framework
    computes: bool
    providers: tuple[str, ...] = ()
    """ONNX Runtime's execution providers, and what other libraries call their devices."""
    reason: str = ""
    """Why it does not, as the end of a sentence."""


class Acceleration(Value):
    """What a worker reports. The default is that of a worker without a device."""

    devices: tuple[AcceleratorDevice, ...] = ()
    """Those that its process may use, in the order in which libraries number them."""
    runtimes: tuple[RuntimeOnDevice, ...] = ()

    def obstacle(self, framework: Framework) -> str | None:
        """Why models of `framework` do not run on its device, as the end of a sentence; `None` if they do."""
        if not self.devices:
            return "it reports no device"
        tried = next((one for one in self.runtimes if one.framework is framework), None)
        if tried is None:
            return f"{framework.label} has no runtime for devices there"
        return None if tried.computes else tried.reason
