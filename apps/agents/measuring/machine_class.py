"""Classes of machines that differ in how fast they compute with narrow number types."""

from __future__ import annotations

from enum import StrEnum

from apps.agents.contracts.criteria import Device


class MachineClass(StrEnum):
    VNNI = "x86 with VNNI"
    PLAIN = "x86 without VNNI"
    DOT = "Arm with dot products"
    CUDA = "CUDA"


VNNI_FLAGS = frozenset({"avx512_vnni", "avx512vnni", "avx_vnni", "amx_int8"})

DOT_FLAGS = frozenset({"asimddp", "i8mm"})


def machine_class(device: Device, flags: frozenset[str] | None) -> MachineClass:
    """The class of a machine by its instruction sets. Unknown flags (`None`) are treated as x86 with VNNI."""
    if device is Device.CUDA:
        return MachineClass.CUDA
    if flags is None or flags & VNNI_FLAGS:
        return MachineClass.VNNI
    return MachineClass.DOT if flags & DOT_FLAGS else MachineClass.PLAIN
