"""Models saved by transformers: a configuration, weights and a tokenizer in one folder.

The folder's code is not run and no hub is contacted: the class must come from the installed library.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel

from apps.agents.backends.torch import quantized, stored
from apps.agents.backends.torch.checkpoints import named
from apps.agents.backends.torch.configuration import bounded, brief, read_settings
from apps.agents.backends.torch.interfaces import inputs_of, outputs_of
from apps.agents.backends.torch.opening import CONFIGURATION
from apps.agents.backends.torch.pretrained import operators_of
from apps.agents.backends.torch.tokenizing import FolderEncoder, context_length, open_tokenizer, padding_of
from apps.agents.contracts.errors.running import ModelNotLoadable
from apps.agents.contracts.errors.torch_models import ArchitectureUnsupported, ConfigurationInvalid, WeightsUnfit
from apps.agents.contracts.formats import Format
from apps.agents.contracts.reports.model import LanguageModel, ModelSummary, TensorSpec

LOADERS = {
    "awq": "apps.agents.backends.torch.autoawq:load",
    "bitsandbytes": "apps.agents.backends.torch.bitsandbytes:load",
    "compressed-tensors": "apps.agents.backends.torch.compressed:load",
}
"""Quantizations that need more than transformers to load and to run on every machine, with their loader
`(folder, device) -> PreTrainedModel`."""
GENERATIVE = ("ForCausalLM", "LMHeadModel")

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


@dataclass(frozen=True)
class TransformersFolder:
    """An opened folder. Its files are read once; only `load` loads the model itself."""

    path: Path
    architecture: str | None = None
    """The class, if something other than the configuration names it."""

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """The contents of `config.json`. Raises `ConfigurationInvalid` and `RemoteCode`."""
        return read_settings(self.path)

    @cached_property
    def config(self) -> PretrainedConfig:
        """Raises `ConfigurationInvalid` for a type of model that the installed library does not support."""
        if not self.settings:  # Reading it refuses the folder's own code before the library sees it.
            raise ConfigurationInvalid(file=CONFIGURATION, reason="it is empty")
        try:
            return AutoConfig.from_pretrained(str(self.path), local_files_only=True, trust_remote_code=False)
        except Exception as error:  # The library may raise anything for untrusted values.
            raise ConfigurationInvalid(file=CONFIGURATION, reason=brief(error)) from error

    @cached_property
    def model_class(self) -> type[PreTrainedModel]:
        """The class that the configuration names first, or `architecture`. Raises `ArchitectureUnsupported`."""
        name = self.architecture or str((self.settings.get("architectures") or [""])[0])
        found = getattr(transformers, name, None) if name.isidentifier() else None
        if not (inspect.isclass(found) and issubclass(found, PreTrainedModel)):
            reason = f"transformers {transformers.__version__} does not have a model of this name" if name else _UNNAMED
            raise ArchitectureUnsupported(architecture=name, reason=reason)
        if self.config.is_encoder_decoder:
            reason = "it reads one text and writes another, but only models of one stack are supported"
            raise ArchitectureUnsupported(architecture=name, reason=reason)
        return found

    @cached_property
    def encoder(self) -> FolderEncoder | None:
        return open_tokenizer(self.path, self.config, self.context_length)

    @cached_property
    def context_length(self) -> int | None:
        return context_length(self.config, self.outline)

    @property
    def pad_id(self) -> int | None:
        """The token that pads rows of a model that finds their ends by it; `None` if every token would do harm."""
        known = padding_of(self.config)
        return known if known is not None else (self.encoder.harmless_pad_id if self.encoder else None)

    @cached_property
    def outline(self) -> PreTrainedModel:
        """The model without numbers: its modules and their shapes."""
        model_class = self.model_class
        try:
            with torch.device("meta"), bounded():
                return model_class(deepcopy(self.config))
        except Exception as error:
            raise ConfigurationInvalid(file=CONFIGURATION, reason=brief(error)) from error

    def built(self) -> PreTrainedModel:
        """The model with arbitrary numbers, ready for weights."""
        return self.model_class(deepcopy(self.config))

    @property
    def summary_inputs(self) -> tuple[TensorSpec, ...]:
        made = self.encoder.input_names if self.encoder else ()
        return inputs_of(self.model_class, self.config, made, alone=self.pad_id is None)

    @property
    def summary_outputs(self) -> tuple[TensorSpec, ...]:
        return outputs_of(self.outline)

    @cached_property
    def weight_files(self) -> tuple[Path, ...]:
        return stored.weight_files(self.path)

    @cached_property
    def summary(self) -> ModelSummary:
        """Read from the configuration, the weights' headers and the outline, without loading weights."""
        weights = stored.read_weights(self.weight_files)
        if quantized.method_of(self.settings) is None:
            self._refuse_shapes(weights)
        counts = stored.counted(quantized.logical(weights, self.settings))
        return ModelSummary(
            format=Format.TRANSFORMERS,
            producer=f"transformers {self.settings.get('transformers_version', '')}".strip(),
            opset=None,
            inputs=self.summary_inputs,
            outputs=self.summary_outputs,
            parameters=sum(counts.values()),
            size_bytes=stored.size_bytes(weights) + (self.path / CONFIGURATION).stat().st_size,
            operators=operators_of(self.outline),
            weight_dtypes=counts,
            weights=stored.listed(weights),
            language=self._language(),
            quantization=quantized.describe(self.settings),
        )

    def load(self, device: str = "cpu") -> PreTrainedModel:
        """The model on `device` in evaluation mode, without a key-value cache, in its stored types.

        A model without a padding token gets `pad_id`; without it, text classifiers take only one row at a time. Raises
        `WeightsUnfit` with the names, and `ModelNotLoadable` with the library's reason.
        """
        if loader := LOADERS.get(quantized.method_of(self.settings) or ""):
            module, _, name = loader.partition(":")
            model: PreTrainedModel = getattr(import_module(module), name)(self, device)
        else:
            model = self.load_as_stored(device)
        model.config.use_cache = False
        if padding_of(model.config) is None and self.pad_id is not None:
            model.config.get_text_config().pad_token_id = self.pad_id
        return model.eval()

    def load_as_stored(
        self, device: str, *, weights: dict[str, torch.Tensor] | None = None, **options: Any
    ) -> PreTrainedModel:
        """The model as transformers loads it, with more `options` of `from_pretrained`. Raises the errors of `load`.

        With `weights` in plain numbers, no file is read and the configured quantization is ignored.
        """
        config = deepcopy(self.config)  # The library writes into it.
        if weights is not None and hasattr(config, "quantization_config"):
            del config.quantization_config
        stored.read_weights(self.weight_files)  # Explains a broken file better than the library does.
        try:
            model, found = self.model_class.from_pretrained(
                str(self.path) if weights is None else None,
                config=config,
                state_dict=weights,
                device_map={"": device},
                local_files_only=True,
                weights_only=True,
                output_loading_info=True,
                **options,
            )
        except MemoryError:
            raise
        except Exception as error:
            if "mismatch" in str(error):
                raise WeightsUnfit(architecture=self.model_class.__name__, reason=brief(error)) from error
            raise ModelNotLoadable(reason=brief(error)) from error
        if missing := sorted(found["missing_keys"]):
            raise WeightsUnfit(architecture=self.model_class.__name__, reason=f"not stored: {named(missing)}")
        return model

    def _refuse_shapes(self, weights: stored.Weights) -> None:
        """Refuse weights whose shape differs from the configuration. Only the library knows which are missing."""
        wanted = {name: tuple(tensor.shape) for name, tensor in self.outline.state_dict().items()}
        other = [
            f"{name} {list(tensor.shape)} instead of {list(wanted[name])}"
            for name, tensor in weights.items()
            if wanted.get(name, tensor.shape) != tensor.shape
        ]
        if other:
            raise WeightsUnfit(architecture=self.model_class.__name__, reason=f"of another shape: {named(other)}")

    def _language(self) -> LanguageModel | None:
        if self.model_class.main_input_name != "input_ids":
            return None
        table = self.outline.get_input_embeddings()
        return LanguageModel(
            architecture=self.model_class.__name__,
            generative=self.model_class.__name__.endswith(GENERATIVE),
            context_length=self.context_length,
            vocabulary=getattr(self.config, "vocab_size", None),
            tied_embeddings=bool(self.config.tie_word_embeddings and self.outline.get_output_embeddings() is not None),
            embedding_parameters=sum(weight.numel() for weight in table.parameters()),
            tokenizer=self.encoder is not None,
        )


_UNNAMED = 'config.json does not name one; add "architectures": ["LlamaForCausalLM"] or whichever it is'
