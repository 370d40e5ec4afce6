"""Weights with a `lathe.toml` that says which network they belong to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from transformers import PreTrainedModel

from apps.agents.backends.torch import pickles, stored
from apps.agents.backends.torch.architectures import build_installed, build_uploaded, uploaded_code
from apps.agents.backends.torch.description import IN_TRANSFORMERS, Description, read_description
from apps.agents.backends.torch.model import TorchModel
from apps.agents.backends.torch.opening import DESCRIPTION
from apps.agents.backends.torch.probing import calling, found_outputs
from apps.agents.backends.torch.stored import StoredTensor
from apps.agents.backends.torch.transformers_folder import TransformersFolder, named, operators_of
from apps.agents.errors import DescriptionInvalid, WeightsMissing, WeightsUnfit
from apps.agents.formats import Format
from apps.agents.reports import ModelSummary, TensorSpec

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
_PARALLEL = "module."
"""What DataParallel puts before every name."""


@dataclass(frozen=True)
class StateDictFolder:
    """An opened archive. Code that came with it runs in `load` and `full_summary` only."""

    path: Path

    @cached_property
    def description(self) -> Description:
        return read_description(self.path)

    @cached_property
    def weight_file(self) -> Path:
        """Raises `WeightsMissing` and `DescriptionInvalid`."""
        if self.description.weights is not None:
            file = self.path / self.description.weights
            if not file.is_file() or not file.resolve().is_relative_to(self.path.resolve()):
                raise WeightsMissing(names=self.description.weights)
            return file
        files = [path for path in sorted(self.path.iterdir()) if path.suffix in SUFFIXES]
        if not files:
            raise WeightsMissing(names="one file ending in " + " or ".join(SUFFIXES))
        if len(files) > 1:
            found = ", ".join(path.name for path in files)
            raise DescriptionInvalid(reason=f'the archive holds {found}; say which with weights = "{files[0].name}"')
        return files[0]

    @cached_property
    def stored(self) -> dict[str, StoredTensor]:
        return {_plain(name): tensor for name, tensor in stored.read_weights([self.weight_file]).items()}

    @cached_property
    def summary(self) -> ModelSummary:
        """What can be said without running code that came with it: then operators and undeclared outputs are missing.

        Raises `WeightsUnfit` where the architecture is known and the weights are not its own.
        """
        code = uploaded_code(self.description, self.path)
        if code:
            return self._summary(None, self.description.outputs).model_copy(update={"code": code})
        outline = self._outline()
        self._refuse_unfit(outline)
        return self._summary(outline, self._outputs(outline))

    @cached_property
    def full_summary(self) -> ModelSummary:
        """The same with what only the upload's own code knows."""
        if self.description.file is None:
            return self.summary
        module = build_uploaded(self.description, self.path).eval()
        return self._completed(module)

    def load(self, device: str) -> TorchModel:
        """The model with its weights, in evaluation mode. Raises `WeightsUnfit` with the names and `FactoryFailed`."""
        module = self._built().eval()
        self._refuse_unfit(module)
        _take_over(module, self._tensors())
        _match_types(module)
        summary = self.summary if self.description.file is None else self._completed(module)
        transformers = isinstance(module, PreTrainedModel)
        if transformers:
            module.config.use_cache = False
        return TorchModel(module.to(device), Format.STATE_DICT, summary, self.path, positional=not transformers)

    # --- parts -------------------------------------------------------------------------------------------------------

    @property
    def _transformers(self) -> TransformersFolder:
        name = (self.description.architecture or "").removeprefix(IN_TRANSFORMERS)
        return TransformersFolder(self.path, architecture=name)

    @property
    def _inputs(self) -> tuple[TensorSpec, ...]:
        if self.description.inputs or not self.description.in_transformers:
            return self.description.inputs
        return self._transformers.summary_inputs

    def _built(self, *, outline: bool = False) -> nn.Module:
        if self.description.file is not None:
            return build_uploaded(self.description, self.path)
        if self.description.in_transformers:
            return self._transformers.outline if outline else self._transformers.built()
        return build_installed(self.description)

    def _outline(self) -> nn.Module:
        """The module without numbers, where the factory bears that; some compute with the tensors that they make."""
        if not self.description.in_transformers:
            try:
                with torch.device("meta"):
                    return self._built().eval()
            except Exception:  # Asked again with numbers, which says what is wrong if anything is.
                return self._built().eval()
        return self._built(outline=True).eval()

    def _outputs(self, module: nn.Module) -> tuple[TensorSpec, ...]:
        if self.description.outputs:
            return self.description.outputs
        if self.description.in_transformers:
            return self._transformers.summary_outputs
        device = next((weight.device.type for weight in module.parameters()), "cpu")
        with torch.device(device) if device == "meta" else nullcontext():
            return found_outputs(calling(module), self._inputs, device)

    def _completed(self, module: nn.Module) -> ModelSummary:
        outputs = self.description.outputs or found_outputs(calling(module), self._inputs)
        return self._summary(module, outputs).model_copy(update={"code": self.summary.code})

    def _summary(self, module: nn.Module | None, outputs: Sequence[TensorSpec]) -> ModelSummary:
        counts = stored.counted(self.stored)
        return ModelSummary(
            format=Format.STATE_DICT,
            producer=self.description.architecture or f"{self.description.file}: {self.description.factory}",
            opset=None,
            inputs=self._inputs,
            outputs=tuple(outputs),
            parameters=sum(counts.values()),
            size_bytes=self.weight_file.stat().st_size + (self.path / DESCRIPTION).stat().st_size,
            operators=operators_of(module) if module is not None else {},
            weight_dtypes=counts,
            weights=stored.listed(self.stored),
        )

    def _tensors(self) -> dict[str, torch.Tensor]:
        if self.weight_file.suffix == ".safetensors":
            tensors = load_file(self.weight_file)
        else:
            tensors = pickles.load_weights(self.weight_file)
        return {_plain(name): tensor for name, tensor in tensors.items()}

    def _refuse_unfit(self, module: nn.Module) -> None:
        shared = shared_names(module)
        found = {name: tensor.shape for name, tensor in self.stored.items()}
        wanted = {
            name: tuple(tensor.shape)
            for name, tensor in module.state_dict().items()
            if name in found or name not in shared
        }
        if reason := _differences(wanted, found):
            name = self.description.architecture or self.description.factory or ""
            raise WeightsUnfit(architecture=name, reason=reason)


def shared_names(module: nn.Module) -> dict[str, str]:
    """Further names of parameters that have several, with the first: tied weights."""
    first: dict[int, str] = {}
    every = module.named_parameters(remove_duplicate=False)
    return {name: first[id(weight)] for name, weight in every if first.setdefault(id(weight), name) != name}


def _take_over(module: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Make `tensors` the module's, in the types that they have; what is tied stays tied."""
    shared = shared_names(module)
    module.load_state_dict(dict(tensors) | {name: tensors[first] for name, first in shared.items()}, assign=True)
    for name, first in shared.items():
        parent, _, leaf = name.rpartition(".")
        setattr(module.get_submodule(parent), leaf, module.get_parameter(first))


def _differences(wanted: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]) -> str:
    """What is missing, too many, or of another shape, by name."""
    missing = [name for name in wanted if name not in found]
    extra = [name for name in found if name not in wanted]
    other = [
        f"{name} {list(found[name])} instead of {list(shape)}"
        for name, shape in wanted.items()
        if name in found and found[name] != shape
    ]
    parts = (("not stored", missing), ("not part of it", extra), ("of another shape", other))
    return "; ".join(f"{what}: {named(names)}" for what, names in parts if names)


def _plain(name: str) -> str:
    return name.removeprefix(_PARALLEL)


def _match_types(module: nn.Module) -> None:
    """Tables that are computed and not stored take the weights' type, where all of these have the same."""
    types = {weight.dtype for weight in module.parameters() if weight.is_floating_point()}
    if len(types) == 1:
        module.to(types.pop())
