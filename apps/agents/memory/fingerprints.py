"""The fingerprint of a session, and how similar two of them are."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

from apps.agents.contracts.criteria import Criteria, Device
from apps.agents.contracts.experience import Fingerprint
from apps.agents.contracts.reports.machine import Machine
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.measuring.machine_class import machine_class
from apps.agents.techniques.knowledge.kernels import KINDS, Kind
from apps.agents.techniques.knowledge.profile import HEAVY, profile_of_model

DEPTHWISE = "depthwise "
OTHER_FORMAT = 0.5
"""Operators of different formats are compared by kind only, which says half as much."""
SAME_PROCESSOR, SAME_CLASS = 0.9, 0.5
"""Of what the same machine says about speed: another one with the same processor, and one of the same class."""
OTHER_LOAD = 0.7
"""The same for another number of threads or another batch size."""


def fingerprint_of(
    model: ModelSummary, task: str, metric: str, criteria: Criteria, machine: Machine | None, material: str = ""
) -> Fingerprint:
    """The fingerprint of a session on `model`, measured by `metric` on `machine`; `None` if that is not known yet.

    `material` identifies the files of model and data and how the examples are split; empty if that is not known yet.
    """
    on_cuda = criteria.target.device is Device.CUDA
    flags = None if machine is None else frozenset(flag.lower() for flag in machine.flags)
    processors = () if machine is None else machine.accelerators if on_cuda else (machine.cpu,)
    return Fingerprint(
        format=model.format,
        network=network_of(model),
        operators=operators_of(model),
        parameters=model.parameters,
        size_bytes=model.size_bytes,
        task=task,
        metric=metric,
        counted_size=criteria.counted_size.value,
        machine_class=machine_class(criteria.target.device, flags).value,
        hostname="" if machine is None else machine.hostname,
        processor=", ".join(processors),
        threads=criteria.target.threads,
        batch_size=criteria.target.batch_size,
        material=material,
    )


def operators_of(model: ModelSummary) -> dict[str, int]:
    """The model's operators by type; depthwise convolutions, whose filters have one channel, apart from the others."""
    found = {name: count for name, count in model.operators.items() if count}
    left = sum(len(one.shape) == 4 and one.shape[1] == 1 and one.shape[0] != 1 for one in model.weights)
    for name in [name for name in found if KINDS.get(name) is Kind.CONVOLUTION]:
        apart = min(left, found[name])
        if apart:
            found |= {name: found[name] - apart, f"{DEPTHWISE}{name}": apart}
            left -= apart
    return {name: count for name, count in sorted(found.items()) if count}


def network_of(model: ModelSummary) -> str:
    """What such networks are called, in the plural."""
    profile = profile_of_model(model)
    if profile.generative:
        return "language models"
    if profile.attention:
        return "encoders"
    if profile.operators & {"LSTM", "GRU"}:
        return "recurrent networks"
    return "convolutional networks" if profile.convolution_share else "networks"


def same_network(one: Fingerprint, other: Fingerprint) -> bool:
    """Whether both are of the same network, as far as fingerprints tell: trained anew, it is the same."""
    names = ("format", "operators", "parameters", "size_bytes", "task")
    return all(getattr(one, name) == getattr(other, name) for name in names)


def same_material(one: Fingerprint, other: Fingerprint) -> bool:
    """Whether losses are of the same model on the same examples, so that they are measured again as they were."""
    return one.material != "" and one.material == other.material


def network_similarity(one: Fingerprint, other: Fingerprint) -> float:
    """How similar two networks are, from 0 to 1: by what they compute, and by how large they are.

    Operators are compared by the Bhattacharyya coefficient of their shares, sizes by a Gaussian of the ratio of
    parameters, which is 0.61 at a factor of 10 and 0.14 at 100. Of the operators, convolutions and products count,
    where there are any: additions, activations and reshapes are in every network, and take little of its time.
    """
    same = one.format == other.format
    counts = [_heavy(given.operators) if same else _by_kind(_heavy(given.operators)) for given in (one, other)]
    alike = _overlap(*counts) * (1.0 if same else OTHER_FORMAT)
    decades = math.log10(max(1, one.parameters) / max(1, other.parameters))
    return alike * math.exp(-0.5 * decades**2)


def machine_similarity(one: Fingerprint, other: Fingerprint) -> float:
    """How much times on one machine say about times on another, from 0 (another class) to 1 (the same machine)."""
    if one.machine_class != other.machine_class:
        return 0.0
    same_load = (one.threads, one.batch_size) == (other.threads, other.batch_size)
    load = 1.0 if same_load else OTHER_LOAD
    if same_machine(one, other):
        return load
    same_processor = one.processor != "" and one.processor == other.processor
    return load * (SAME_PROCESSOR if same_processor else SAME_CLASS)


def same_conditions(one: Fingerprint, other: Fingerprint) -> bool:
    """Whether both were measured on the same machine with as many threads and examples at once."""
    return same_machine(one, other) and machine_similarity(one, other) == 1.0


def same_machine(one: Fingerprint, other: Fingerprint) -> bool:
    known = one.hostname != "" and one.processor != ""
    return known and (one.hostname, one.processor) == (other.hostname, other.processor)


def _heavy(operators: Mapping[str, int]) -> Mapping[str, int]:
    """The operators that do most of the work; all of them if there are none."""
    found = {name: count for name, count in operators.items() if _kind(name) in HEAVY}
    return found or operators


def _kind(name: str) -> Kind:
    return Kind.DEPTHWISE if name.startswith(DEPTHWISE) else KINDS.get(name, Kind.OTHER)


def _by_kind(operators: Mapping[str, int]) -> Counter[str]:
    found: Counter[str] = Counter()
    for name, count in operators.items():
        found[_kind(name)] += count
    return found


def _overlap(one: Mapping[str, int], other: Mapping[str, int]) -> float:
    """The Bhattacharyya coefficient of two histograms: 1 for equal shares, 0 if nothing is in both."""
    whole = math.sqrt(sum(one.values()) * sum(other.values()))
    common = sum(math.sqrt(count * other[name]) for name, count in one.items() if name in other)
    return common / whole if whole else 0.0
