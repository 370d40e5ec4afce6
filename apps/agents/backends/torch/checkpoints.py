"""Finds which tensors of a checkpoint are an architecture's weights, and under which names, using only names and
shapes.

Training wrappers put a prefix before every name (`DataParallel`, `torch.compile`, Lightning, averaged copies), and
checkpoints may contain more than one network. A known prefix is removed only if the names then match the architecture's
own, because an architecture may itself have a part called `module` or `model`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]

PREFIXES = (
    *("module.", "_orig_mod.", "model.", "net.", "network.", "_forward_module.", "_fsdp_wrapped_module."),
    *("online_model.", "model_ema.", "ema_model.", "ema.", "averaged_model."),
)
"""Prefixes that DataParallel, torch.compile, Lightning and its users, Fabric, FSDP and averaged copies add."""
INFIXES = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""Prefixes that also occur inside names, if a part of the network was wrapped."""
_AVERAGED = ("model_ema.", "ema_model.", "ema.", "averaged_model.")
_DEEPEST = 4
_MOST_NAMED = 3


@dataclass(frozen=True)
class Reading:
    """One way to read a checkpoint: the names in the collection `where` that begin with `prefix`, without it."""

    where: str
    prefix: str
    names: Mapping[str, str]
    """The resulting names, mapped to the checkpoint's names."""

    @property
    def description(self) -> str:
        begin = f" that begin with {self.prefix}" if self.prefix else ""
        return f"those under {self.where}{begin}" if self.where else f"those{begin}"


@dataclass(frozen=True)
class Fit:
    """The reading to use: with a `reason` if even this one does not fit, else with `notes` on what was changed."""

    reading: Reading
    reason: str = ""
    notes: tuple[str, ...] = ()

    @property
    def sources(self) -> dict[str, tuple[str, str]]:
        """By the architecture's names: the collection that contains each weight, and its name there."""
        return {name: (self.reading.where, stored) for name, stored in self.reading.names.items()}


@dataclass(frozen=True)
class Wanted:
    """An architecture's weights."""

    shapes: Shapes
    may_lack: frozenset[str] = frozenset()
    """Additional names of weights that have several."""

    def differences(self, found: Shapes) -> tuple[list[str], list[str], list[str]]:
        """The missing names, the superfluous names, and those with another shape, with both shapes."""
        other = [
            f"{name} {list(found[name])} instead of {list(shape)}"
            for name, shape in self.shapes.items()
            if name in found and found[name] != shape
        ]
        missing = [name for name in self.shapes if name not in found and name not in self.may_lack]
        return missing, [name for name in found if name not in self.shapes], other


def fit(wanted: Wanted, collections: Mapping[str, Shapes]) -> Fit:
    """How the `collections` of a checkpoint provide the weights that an architecture needs.

    The first reading that fits is used: unchanged names before names without a prefix, and a network before its
    averaged copy.
    """
    read = [one for where, shapes in collections.items() for one in readings(where, shapes)]
    differences = [wanted.differences(_found(one, collections)) for one in read]
    fitting = [one for one, different in zip(read, differences, strict=True) if not any(different)]
    if fitting:
        return Fit(fitting[0], notes=tuple(_notes(fitting, collections)))
    closest = min(range(len(read)), key=lambda place: sum(map(len, differences[place])))
    return Fit(read[closest], reason=_reason(differences[closest], read[closest].prefix))


def readings(where: str, shapes: Shapes) -> Iterator[Reading]:
    """Every way to read one collection, the unchanged one first."""
    without_average = {name: name for name in shapes if not name.startswith(_AVERAGED)}
    waiting = [Reading(where, "", {name: name for name in shapes}), Reading(where, "", without_average)]
    seen: set[frozenset[tuple[str, str]]] = set()
    for _ in range(_DEEPEST):
        fresh = [one for one in waiting if _is_new(one, seen)]
        yield from fresh
        waiting = [shorter for one in fresh for shorter in _shorter(one)]


def _is_new(reading: Reading, seen: set[frozenset[tuple[str, str]]]) -> bool:
    key = frozenset(reading.names.items())
    new = bool(key) and key not in seen
    seen.add(key)
    return new


def _shorter(reading: Reading) -> Iterator[Reading]:
    for prefix in PREFIXES:
        names = {name.removeprefix(prefix): stored for name, stored in reading.names.items() if name.startswith(prefix)}
        yield Reading(reading.where, reading.prefix + prefix, names)
    for infix in INFIXES:
        names = {_without(name, infix): stored for name, stored in reading.names.items()}
        if len(names) == len(reading.names) and names.keys() != reading.names.keys():
            yield Reading(reading.where, reading.prefix or f"{infix}.", names)


def _without(name: str, part: str) -> str:
    return ".".join(one for one in name.split(".") if one != part)


def _found(reading: Reading, collections: Mapping[str, Shapes]) -> Shapes:
    return {name: collections[reading.where][stored] for name, stored in reading.names.items()}


def _reason(differences: tuple[list[str], list[str], list[str]], prefix: str) -> str:
    differing = zip(("not stored", "not part of it", "of another shape"), differences, strict=True)
    reason = "; ".join(f"{what}: {named(names)}" for what, names in differing if names)
    return f"{reason} ({prefix} was removed from the names)" if prefix else reason


def _notes(fitting: list[Reading], collections: Mapping[str, Shapes]) -> Iterator[str]:
    taken, *others = fitting
    if taken.prefix:
        yield f"{taken.prefix} was removed from the names of the weights: without it they match the architecture."
    if taken.where:
        yield f"The weights are those under {taken.where} in the checkpoint."
    if others:
        yield f"The checkpoint contains other weights that also fit, which were not used: {others[0].description}."
    elsewhere = {stored for one in fitting for stored in one.names.values() if one.where == taken.where}
    if left := [name for name in collections[taken.where] if name not in elsewhere]:
        yield f"Left out because they are not part of the architecture: {named(left, _MOST_NAMED)}."


def named(names: list[str], most: int = 5) -> str:
    """The first of many names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
