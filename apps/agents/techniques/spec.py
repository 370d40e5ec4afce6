"""The spec of a technique, which forms, serializers, docs and the planner read.

Neither a spec nor the `knowledge` that it refers to imports a heavy library. Its `implementation` is a dotted path,
`module:Class`, that is imported on first use and only in the child process (`apps.agents.sandbox.process`).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import Field, InstanceOf, field_validator, model_validator
from pydantic.json_schema import SkipJsonSchema

from apps.agents.contracts.chain import STUDENT
from apps.agents.contracts.criteria import Device
from apps.agents.contracts.values import Value
from apps.agents.techniques.knowledge.technique import TechniqueKnowledge

TAKEN_ROLES = frozenset({"model", "original", "dataset", "checkpoint"})
"""Roles of files that any job may have."""


class Family(StrEnum):
    EXPORT = "export"
    """The same network for another runtime."""
    GRAPH = "graph optimization"
    QUANTIZATION = "quantization"
    CALIBRATION = "calibration"
    """The same network with its weights prepared for a quantization that follows."""
    PRUNING = "pruning"
    TRAINING = "training"
    """The same network with its weights trained further."""
    DISTILLATION = "distillation"
    ARCHITECTURE = "architecture search"
    COMPRESSION = "compression"


_SAME_NETWORK = frozenset({Family.EXPORT, Family.GRAPH, Family.QUANTIZATION})


class Risk(StrEnum):
    NONE = "none"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class ParameterSpec(Value):
    """One parameter of a technique: its allowed values, its default, and the values that a search tries."""

    name: str
    kind: Literal["choice", "integer", "number", "boolean", "names"]
    """`names` is a tuple of node or operator names."""
    default: Any
    choices: tuple[Any, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    search: tuple[Any, ...] = ()
    help: str
    added_later: SkipJsonSchema[bool] = Field(default=False, exclude=True)
    """Left out of complete parameters at its default, so what was stored before it existed keeps its keys."""


class Expectation(Value):
    """The usual effect, from the literature and our own measurements. Ratios are original over candidate."""

    size_ratio: float
    speedup: float
    metric_drop_points: float
    risk: Risk
    compressed_ratio: float | None = None
    """The ratio of the compressed files, if it is not that of the files."""


class TechniqueSpec(Value):
    name: str
    family: Family
    label: str
    summary: str
    formats: tuple[str, ...]
    """The formats that it takes (`apps.agents.contracts.formats`)."""
    output_format: str | None
    """The format of its artifact; `None` means that of its input."""
    requires: tuple[str, ...]
    """The distributions that the worker must have installed."""
    devices: tuple[Device, ...] = (Device.CPU, Device.CUDA)
    needs_calibration: bool = False
    needs_training: bool = False
    """Whether it trains on the part that a data set sets apart for that."""
    inputs: tuple[str, ...] = ()
    """The roles of other models that it reads, such as `teacher`. `student` is the model that a member gave a session
    to be trained: without one, the technique is left out."""
    repeatable: bool = True
    """Whether the same input, parameters, data and seed give the same artifact, unless its parameters let time decide
    (`apps.agents.techniques.repeatable`)."""
    takes_strings: bool = True
    """Whether it can handle a model whose inputs or outputs are strings."""
    acts_on: tuple[str, ...] = ()
    """The operator types from which it gains. A model without any of them does not gain. Empty means any type."""
    parameters: tuple[ParameterSpec, ...] = ()
    expectation: Expectation
    knowledge: SkipJsonSchema[InstanceOf[TechniqueKnowledge]] = Field(
        default=TechniqueKnowledge(), exclude=True, repr=False
    )
    """What planning knows about it in addition; by default, the grid of the values to search."""
    reference: str
    """The paper or page that the method follows."""
    implementation: str = Field(pattern=r"^[\w.]+:\w+$")

    @field_validator("inputs")
    @classmethod
    def _roles_of_its_own(cls, inputs: tuple[str, ...]) -> tuple[str, ...]:
        """Raises `ValueError` where a role is one that every job may have."""
        if taken := sorted(set(inputs) & TAKEN_ROLES):
            raise ValueError(f"inputs: {', '.join(taken)} is given to every technique; name the role differently")
        return inputs

    @model_validator(mode="after")
    def _sound_parameters(self) -> Self:
        """Raises `ValueError` if a default or a value to search is not allowed for its parameter."""
        for parameter in self.parameters:
            for value in (parameter.default, *parameter.search):
                _check(self.name, parameter, value)
        return self

    @property
    def trains_student(self) -> bool:
        """Whether it reads the session's student."""
        return STUDENT in self.inputs

    @property
    def depends_on_seed(self) -> bool:
        """Whether the seed decides what it makes: it reads examples, which the seed draws, or begins at random.

        Other techniques only check their result on examples.
        """
        return self.needs_calibration or self.needs_training or self.remakes_network

    @property
    def remakes_network(self) -> bool:
        """Whether the result is another network: with fewer or other weights, not only other number types."""
        return self.family not in _SAME_NETWORK

    def makes(self, given: str) -> str:
        """The format of its artifact if the input model is in the format `given`."""
        return self.output_format or given

    def resolve(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """`given` completed with defaults, except those of parameters that were `added_later`. Raises `ValueError` with
        the parameter, its value and what is allowed."""
        known = {parameter.name: parameter for parameter in self.parameters}
        for name, value in given.items():
            if name not in known:
                raise ValueError(f"{self.name} does not have a parameter {name!r}; it has {', '.join(known) or 'none'}")
            _check(self.name, known[name], value)
        complete = {name: given.get(name, parameter.default) for name, parameter in known.items()}
        return {
            name: value
            for name, value in complete.items()
            if not (known[name].added_later and value == known[name].default)
        }


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
