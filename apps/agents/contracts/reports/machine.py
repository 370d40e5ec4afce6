"""The machine on which a measurement was made."""

from __future__ import annotations

from apps.agents.contracts.values import Value


class Machine(Value):
    """The machine on which a measurement was made."""

    hostname: str
    cpu: str
    cores: int
    memory_bytes: int
    flags: tuple[str, ...]
    """The instruction sets that matter for speed, such as `avx2`, `avx512_vnni`, `amx_int8`."""
    accelerators: tuple[str, ...] = ()
    system: str
    python: str
    libraries: dict[str, str]
