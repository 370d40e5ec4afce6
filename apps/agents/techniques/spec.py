"""What a technique says of itself: a light spec that forms, serializers, docs and the planner read.

A spec imports nothing heavy, and neither does the `knowledge` that it refers to. Its `implementation` is a dotted path,
`module:Class`, that is imported on first use and only in the child process (`apps.agents.sandbox.process`).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import Field, InstanceOf, model_validator
from pydantic.json_schema import SkipJsonSchema

from apps.agents.contracts.criteria import Device
from apps.agents.contracts.values import Value
from apps.agents.techniques.knowledge.technique import TechniqueKnowledge


class Family(StrEnum):
    EXPORT = "export"
    """The same network for another runtime."""
    GRAPH = "graph optimization"
    QUANTIZATION = "quantization"
    PRUNING = "pruning"
    TRAINING = "training"
    """The same network, its weights learned further."""
    DISTILLATION = "distillation"
    ARCHITECTURE = "architecture search"
    COMPRESSION = "compression"


class Risk(StrEnum):
    NONE = "none"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class ParameterSpec(Value):
    """One parameter of a technique: what it may be, what it is by default, which values a search tries."""

    name: str
    kind: Literal["choice", "integer", "number", "boolean", "names"]
    """`names` is a tuple of node or operator names."""
    default: Any
    choices: tuple[Any, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    search: tuple[Any, ...] = ()
    help: str


class Expectation(Value):
    """What the literature and our own measurements let one expect; ratios are original over candidate."""

    size_ratio: float
    speedup: float
    metric_drop_points: float
    risk: Risk


class TechniqueSpec(Value):
    name: str
    family: Family
    label: str
    summary: str
    formats: tuple[str, ...]
    """Formats it takes (`apps.agents.contracts.formats`)."""
    output_format: str | None
    """The format it hands over; `None` is the one that it was given."""
    requires: tuple[str, ...]
    """Distributions the worker must have installed."""
    devices: tuple[Device, ...] = (Device.CPU, Device.CUDA)
    needs_calibration: bool = False
    needs_training: bool = False
    """Whether it trains on the part that a data set sets apart for that."""
    inputs: tuple[str, ...] = ()
    """Roles of the models that it reads beside the one it changes, such as `teacher`."""
    takes_strings: bool = True
    """Whether a model whose inputs or outputs are strings can be handled."""
    acts_on: tuple[str, ...] = ()
    """Operator types that it changes to gain anything; a model with none of them gains nothing. Empty means any."""
    parameters: tuple[ParameterSpec, ...] = ()
    expectation: Expectation
    knowledge: SkipJsonSchema[InstanceOf[TechniqueKnowledge]] = Field(
        default=TechniqueKnowledge(), exclude=True, repr=False
    )
    """What planning knows of it beyond that; as it stands, the grid of the values to search."""
    reference: str
    """The paper or the page that the method follows."""
    implementation: str = Field(pattern=r"^[\w.]+:\w+$")

    @model_validator(mode="after")
    def _sound_parameters(self) -> Self:
        """Raises `ValueError` where a value that would be tried is none that the parameter may have."""
        for parameter in self.parameters:
            for value in (parameter.default, *parameter.search):
                _check(self.name, parameter, value)
        return self

    def makes(self, given: str) -> str:
        """The format of the artifact that it makes of a model in the format `given`."""
        return self.output_format or given

    def resolve(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """`given` completed with the defaults. Raises `ValueError` with the parameter, its value and what is right."""
        known = {parameter.name: parameter for parameter in self.parameters}
        for name, value in given.items():
            if name not in known:
                raise ValueError(f"{self.name} has no parameter {name!r}; it has {', '.join(known) or 'none'}")
            _check(self.name, known[name], value)
        return {name: given.get(name, parameter.default) for name, parameter in known.items()}


def _check(technique: str, parameter: ParameterSpec, value: object) -> None:
    where = f"{technique}: parameter {parameter.name!r} is {value!r}"
    match parameter.kind:
        case "choice" if value not in parameter.choices:
            raise ValueError(f"{where}, but must be one of {', '.join(map(repr, parameter.choices))}")
        case "boolean" if not isinstance(value, bool):
            raise ValueError(f"{where}, but must be true or false")
        case "names" if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
            raise ValueError(f"{where}, but must be a list of names")
        case "integer" | "number":
            numeric = isinstance(value, int) or (parameter.kind == "number" and isinstance(value, float))
            if not numeric or isinstance(value, bool):
                raise ValueError(
                    f"{where}, but must be a {'whole number' if parameter.kind == 'integer' else 'number'}"
                )
            low, high = parameter.minimum, parameter.maximum
            if (low is not None and value < low) or (high is not None and value > high):  # type: ignore[operator]
                raise ValueError(f"{where}, but must lie between {low} and {high}")
        case _:
            pass
