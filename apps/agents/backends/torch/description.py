"""`lathe.toml`: describes the network of weights that do not contain it.

    architecture = "name"                # of an installed package, or "transformers/BertModel" with a config.json
    beside
    # or: file = "model.py" and factory = "build"
    weights = "model.safetensors"        # optional if there is only one file of weights

[arguments]                        # passed to the factory by name
classes = 10

[[input]]
name = "image"
dtype = "float32"
shape = ["batch", 3, 224, 224]     # a name is an axis of any length

    [[output]]                           # optional: without it, the model is run once when it is loaded
name = "logits"
shape = ["batch", 10]
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import Field, ValidationError, model_validator

from apps.agents.backends.torch.opening import DESCRIPTION
from apps.agents.contracts.errors.torch_models import DescriptionInvalid, ProgramUnsupported
from apps.agents.contracts.reports.model import TensorSpec
from apps.agents.contracts.values import Value

Parsed = TypeVar("Parsed", bound=Value)
IN_TRANSFORMERS = "transformers/"
_TYPES = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")


class DescribedTensor(Value):
    """One input or output."""

    name: str = Field(pattern=r"^\w+$")
    dtype: str = "float32"
    shape: tuple[int | str, ...]

    @model_validator(mode="after")
    def _known(self) -> DescribedTensor:
        if self.dtype not in _TYPES:
            raise ValueError(f"dtype is {self.dtype!r}, but must be one of {', '.join(_TYPES)}")
        if any(axis < 1 if isinstance(axis, int) else not axis for axis in self.shape):
            raise ValueError("an axis must be a length of at least 1, or the name of a free axis")
        return self

    @property
    def spec(self) -> TensorSpec:
        return TensorSpec(name=self.name, dtype=self.dtype, shape=self.shape)


class Interface(Value):
    """The inputs and outputs."""

    input: tuple[DescribedTensor, ...] = ()
    output: tuple[DescribedTensor, ...] = ()

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return tuple(tensor.spec for tensor in self.input)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return tuple(tensor.spec for tensor in self.output)


class Description(Interface):
    """The file's contents, checked."""

    architecture: str | None = None
    file: str | None = None
    factory: str | None = None
    weights: str | None = None
    arguments: dict[str, Any] = {}

    @model_validator(mode="after")
    def _complete(self) -> Description:
        if (self.architecture is None) == (self.file is None):
            raise ValueError('set either architecture = "name", or file = "model.py" with factory = "build"')
        if (self.file is None) != (self.factory is None):
            raise ValueError('file = "model.py" and factory = "build" must both be set')
        if self.file is not None and not re.fullmatch(r"([A-Za-z_]\w*/)*[A-Za-z_]\w*\.py", self.file):
            raise ValueError(f"file is {self.file!r}, but must be the relative path of a .py file in the archive")
        if not self.input and not self.in_transformers:
            raise ValueError("it lacks an [[input]] with name, dtype and shape")
        return self

    @property
    def in_transformers(self) -> bool:
        return (self.architecture or "").startswith(IN_TRANSFORMERS)


def read_description(folder: Path) -> Description:
    """The `lathe.toml` in `folder`. Raises `DescriptionInvalid`."""
    return parse_description((folder / DESCRIPTION).read_bytes())


def parse_description(content: bytes) -> Description:
    """Raises `DescriptionInvalid` with the field and the expected value."""
    return _parsed(content, Description)


def parse_interface(content: bytes) -> Interface:
    """The `lathe.toml` of a program that contains its own architecture. Raises `DescriptionInvalid`."""
    interface = _parsed(content, Interface)
    if not interface.input:
        raise DescriptionInvalid(reason="it lacks an [[input]] with name, dtype and shape")
    return interface


def _parsed(content: bytes, kind: type[Parsed]) -> Parsed:
    try:
        return kind.model_validate(tomllib.loads(content.decode("utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        raise DescriptionInvalid(reason=f"{field}: {message}" if field else message) from error
    except (ValueError, RecursionError) as error:
        raise DescriptionInvalid(reason=f"it is not valid TOML ({error})") from error


def torch_type(name: str) -> torch.dtype:
    """The element type `name`. Raises `ProgramUnsupported` if PyTorch does not have it."""
    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype):
        raise ProgramUnsupported(reason=f"an input's element type is {name}, which PyTorch does not have")
    return found
