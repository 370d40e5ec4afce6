"""The memory and disk that making and measuring a candidate takes at least, held against what the workers have.

The rules are lower bounds, so a plan that they refuse cannot work. Memory: the libraries once they are imported, the
original and what is made of it running side by side (each takes the peak that the analysis measured, or before it the
bytes of the file), the weights in the library's own form, and 16 bytes for each parameter that is trained: weight,
gradient and the two moments of Adam. Disk: every file that the links make, and the last one once more while it is
stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from apps.agents.contracts.phrasing import number_of_bytes
from apps.agents.contracts.reports.room import WorkersRoom
from apps.agents.contracts.state import CandidateRecord, Plan
from apps.agents.planning.bases import Basis
from apps.agents.techniques.catalogue import TechniqueSpec

LIBRARY_BYTES: Mapping[str, int] = {"tensorflow": 630_000_000, "torch": 227_000_000}
"""Resident bytes of a process that has imported the library; measured with the versions of `requirements`."""
LIBRARY_OTHERWISE_BYTES = 58_000_000
"""Those of ONNX and ONNX Runtime."""
TRAINED_BYTES_PER_PARAMETER = 16


@dataclass(frozen=True)
class Room:
    """Bytes that a step takes at least: memory, and disk for the files that it makes."""

    memory_bytes: int
    disk_bytes: int


def rooms_of(applied: Sequence[TechniqueSpec], basis: Basis, size_ratio: float) -> tuple[Room, ...]:
    """What applying each of these techniques in turn takes, of which the first is applied to `basis`. What the last one
    makes is `size_ratio` times smaller."""
    file_bytes = basis.model.size_bytes
    made_bytes = file_bytes / max(size_ratio, 0.01)
    made = [*[float(file_bytes)] * (len(applied) - 1), 2 * made_bytes]
    return tuple(
        Room(round(_memory_of(spec, basis) + _changed_bytes(spec, basis)), round(disk))
        for spec, disk in zip(applied, made, strict=True)
    )


def room_to_measure(spec: TechniqueSpec, basis: Basis) -> Room:
    """What measuring takes: original and candidate side by side, and no files besides theirs."""
    return Room(round(_memory_of(spec, basis)), 0)


def _memory_of(spec: TechniqueSpec, basis: Basis) -> float:
    """The library of `spec`, and two models that run in it."""
    library = max((LIBRARY_BYTES.get(name, LIBRARY_OTHERWISE_BYTES) for name in spec.requires), default=0)
    return library + 2 * (basis.analysis.peak_memory_bytes if basis.analysis else basis.model.size_bytes)


def _changed_bytes(spec: TechniqueSpec, basis: Basis) -> int:
    """The weights in the library's own form, and what training them takes."""
    trained = TRAINED_BYTES_PER_PARAMETER * basis.model.parameters if spec.needs_training else 0
    return basis.model.size_bytes + trained


def against_the_workers(plan: Plan, workers: WorkersRoom | None) -> Plan:
    """`plan` with a sentence about candidates that fit on no live worker; unchanged if all fit or nothing is known."""
    if workers is None or (sentence := _does_not_fit(plan.candidates, workers)) is None:
        return plan
    return plan.model_copy(update={"summary": f"{plan.summary} {sentence}"})


def _does_not_fit(candidates: Sequence[CandidateRecord], workers: WorkersRoom) -> str | None:
    memory = _largest(candidates, "memory_bytes", workers.memory_bytes)
    disk = _largest(candidates, "disk_bytes", workers.disk_bytes)
    sentences = [
        f"{_whom(many, candidates)} at least {number_of_bytes(needed)} of {what}, and {has} {number_of_bytes(given)}."
        for many, needed, given, what, has in (
            (*memory, workers.memory_bytes or 0, "memory", "a step on the largest worker may take"),
            (*disk, workers.disk_bytes or 0, "disk", "the largest worker has"),
        )
        if many
    ]
    return f"{' '.join(sentences)} Such a step fails unless a larger worker joins." if sentences else None


def _largest(candidates: Sequence[CandidateRecord], need: str, given: int | None) -> tuple[int, int]:
    """How many candidates need more than `given`, and the most that one needs."""
    needs = [needed for one in candidates if (needed := getattr(one.predicted, need)) is not None]
    over = [needed for needed in needs if given is not None and needed > given]
    return len(over), max(over, default=0)


def _whom(many: int, candidates: Sequence[CandidateRecord]) -> str:
    if many == len(candidates):
        return "Every candidate needs" if many > 1 else "The only candidate needs"
    return f"{many} of {len(candidates)} candidates need{'s' * (many == 1)}"
