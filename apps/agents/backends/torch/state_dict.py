"""Weights with a `lathe.toml` that describes their network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file
from torch import nn

from apps.agents.backends.torch import pickles, stored
from apps.agents.backends.torch.architectures import build_installed, build_uploaded, files_in, uploaded_code
from apps.agents.backends.torch.checkpoints import Fit, Wanted, fit
from apps.agents.backends.torch.description import IN_TRANSFORMERS, Description, read_description
from apps.agents.backends.torch.model import TorchModel
from apps.agents.backends.torch.opening import CONFIGURATION, DESCRIPTION
from apps.agents.backends.torch.pretrained import is_pretrained, open_folder, operators_of
from apps.agents.backends.torch.probing import calling, found_outputs
from apps.agents.backends.torch.stored import StoredTensor
from apps.agents.contracts.errors.torch_models import DescriptionInvalid, OutputsUnknown, WeightsMissing, WeightsUnfit
from apps.agents.contracts.formats import Format
from apps.agents.contracts.reports.model import CodeFile, ModelSummary, TensorSpec

if TYPE_CHECKING:
    from apps.agents.backends.torch.transformers_folder import TransformersFolder

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")


@dataclass(frozen=True)
class StateDictFolder:
    """An opened archive. The upload's own code runs in `summary` and `load`."""

    path: Path
    brought: tuple[str, ...] | None = None
    """The archive's files; `None` if the folder was opened before. Then they are the files in the folder."""

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
            raise DescriptionInvalid(
                reason=f'the archive contains {found}; select one with weights = "{files[0].name}"'
            )
        return files[0]

    @cached_property
    def collections(self) -> dict[str, dict[str, StoredTensor]]:
        """Every collection of named tensors in the file of weights, by its location in the file."""
        return stored.read_collections(self.weight_file)

    @cached_property
    def code(self) -> tuple[CodeFile, ...]:
        """The upload's code, as a page shows it. Raises `DescriptionInvalid`."""
        brought = files_in(self.path) if self.brought is None else self.brought
        return uploaded_code(self.description, self.path, brought)

    @cached_property
    def summary(self) -> ModelSummary:
        """The model's summary from its architecture, built without weights. Undeclared outputs are found by a run.

        Raises `WeightsUnfit` if the weights do not fit the architecture, `FactoryFailed` and `OutputsUnknown`.
        """
        outline = self._outline()
        return self._summary(outline, self._fit(outline))

    def load(self, device: str) -> TorchModel:
        """The model with its weights, in evaluation mode. Raises the errors of `summary`."""
        module = self._built().eval()
        fitted = self._fit(module)
        summary = self._summary(module, fitted) if self.code else self.summary
        _take_over(module, self._tensors(fitted))
        _match_types(module)
        transformers = is_pretrained(module)
        if transformers:
            module.config.use_cache = False
        return TorchModel(module.to(device), Format.STATE_DICT, summary, self.path, positional=not transformers)

    # --- parts -------------------------------------------------------------------------------------------------------

    @property
    def _transformers(self) -> TransformersFolder:
        name = (self.description.architecture or "").removeprefix(IN_TRANSFORMERS)
        return open_folder(self.path, name)

    @property
    def _inputs(self) -> tuple[TensorSpec, ...]:
        if self.description.inputs or not self.description.in_transformers:
            return self.description.inputs
        return self._transformers.summary_inputs

    def _built(self, *, outline: bool = False) -> nn.Module:
        if self.description.file is not None:
            return build_uploaded(self.description, self.path, self.code)
        if self.description.in_transformers:
            return self._transformers.outline if outline else self._transformers.built()
        return build_installed(self.description)

    def _outline(self) -> nn.Module:
        """The module without numbers, if the factory supports it; some compute with the tensors that they create."""
        if self.description.file is not None:
            return self._built().eval()
        if not self.description.in_transformers:
            try:
                with torch.device("meta"):
                    return self._built().eval()
            except Exception:  # Built again with numbers, which reports any real error.
                return self._built().eval()
        return self._built(outline=True).eval()

    def _outputs(self, module: nn.Module) -> tuple[TensorSpec, ...]:
        if self.description.outputs:
            return self.description.outputs
        if self.description.in_transformers:
            return self._transformers.summary_outputs
        if not any(weight.is_meta for weight in module.parameters()):
            return found_outputs(calling(module), self._inputs)
        try:
            with torch.device("meta"):
                return found_outputs(calling(module), self._inputs, "meta")
        except OutputsUnknown:  # Its behaviour may depend on numbers: run again with some.
            return found_outputs(calling(self._built().eval()), self._inputs)

    def _summary(self, module: nn.Module, fitted: Fit) -> ModelSummary:
        tensors = {name: self.collections[where][old] for name, (where, old) in fitted.sources.items()}
        counts = stored.counted(tensors)
        return ModelSummary(
            format=Format.STATE_DICT,
            producer=self.description.architecture or f"{self.description.file}: {self.description.factory}",
            opset=None,
            inputs=self._inputs,
            outputs=self._outputs(module),
            parameters=sum(counts.values()),
            size_bytes=stored.size_bytes(tensors) + self._program_bytes,
            operators=operators_of(module),
            weight_dtypes=counts,
            weights=stored.listed(tensors),
            code=self.code,
            notes=fitted.notes,
        )

    @property
    def _program_bytes(self) -> int:
        """Size of the files that describe the network."""
        declared = (self.path / name for name in (DESCRIPTION, CONFIGURATION))
        return sum(file.stat().st_size for file in declared if file.is_file()) + sum(
            len(file.text.encode()) for file in self.code
        )

    def _tensors(self, fitted: Fit) -> dict[str, torch.Tensor]:
        if self.weight_file.suffix == ".safetensors":
            collections = {"": load_file(self.weight_file)}
        else:
            collections = pickles.load_collections(self.weight_file)
        return {name: collections[where][old] for name, (where, old) in fitted.sources.items()}

    def _fit(self, module: nn.Module) -> Fit:
        """Which of the stored tensors are the module's. Raises `WeightsUnfit` with the names if they do not fit."""
        shapes = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items() if torch.is_tensor(tensor)}
        wanted = Wanted(shapes, frozenset(shared_names(module)))
        found = fit(
            wanted,
            {where: {name: one.shape for name, one in tensors.items()} for where, tensors in self.collections.items()},
        )
        if found.reason:
            name = self.description.architecture or self.description.factory or ""
            raise WeightsUnfit(architecture=name, reason=found.reason)
        return found


def shared_names(module: nn.Module) -> dict[str, str]:
    """Additional names of parameters with several, mapped to the first: tied weights."""
    first: dict[int, str] = {}
    every = module.named_parameters(remove_duplicate=False)
    return {name: first[id(weight)] for name, weight in every if first.setdefault(id(weight), name) != name}


def _take_over(module: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Put `tensors` into the module, in their own types. Tied weights stay tied."""
    shared = shared_names(module)
    module.load_state_dict(dict(tensors) | {name: tensors[first] for name, first in shared.items()}, assign=True)
    for name, first in shared.items():
        parent, _, leaf = name.rpartition(".")
        setattr(module.get_submodule(parent), leaf, module.get_parameter(first))


def _match_types(module: nn.Module) -> None:
    """Computed tables that are not stored take the weights' type, if all weights have the same."""
    types = {weight.dtype for weight in module.parameters() if weight.is_floating_point()}
    if len(types) == 1:
        module.to(types.pop())
