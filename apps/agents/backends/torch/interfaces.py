"""The inputs and outputs of a transformers model, by its class: names, types, shapes with their free axes."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

from transformers import PretrainedConfig, PreTrainedModel

from apps.agents.contracts.errors.torch_models import ArchitectureUnsupported
from apps.agents.contracts.reports.model import TensorSpec

TEXT_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
BATCH, SEQUENCE = "batch", "sequence"
_NEXT_TOKENS = ("ForCausalLM", "LMHeadModel", "ForMaskedLM")


def inputs_of(
    model_class: type[PreTrainedModel], config: PretrainedConfig, made: Sequence[str], *, alone: bool = False
) -> tuple[TensorSpec, ...]:
    """The inputs of a plain run: for texts, the ids, the mask, and others that the tokenizer has `made`; or pixels.

    If rows cannot be padded without harm, a classifier of texts takes each `alone`, in batches of one. Raises
    `ArchitectureUnsupported` for other models.
    """
    if model_class.main_input_name == "pixel_values":
        return (TensorSpec(name="pixel_values", dtype="float32", shape=(BATCH, *_pixels(config))),)
    taken = inspect.signature(model_class.forward).parameters
    if model_class.main_input_name != "input_ids" or "input_ids" not in taken:
        reason = f"it takes {model_class.main_input_name}, but only texts and images are supported"
        raise ArchitectureUnsupported(architecture=model_class.__name__, reason=reason)
    names = [name for name in TEXT_INPUTS if name in taken and (name != "token_type_ids" or name in made)]
    batch = 1 if alone and model_class.__name__.endswith("ForSequenceClassification") else BATCH
    return tuple(TensorSpec(name=name, dtype="int64", shape=(batch, SEQUENCE)) for name in names)


def outputs_of(model: PreTrainedModel) -> tuple[TensorSpec, ...]:
    """The outputs by the head that the class is named after. Raises `ArchitectureUnsupported` for an unknown head."""
    name, config = type(model).__name__, model.config
    labels = getattr(config, "num_labels", None)
    sequence = SEQUENCE if model.main_input_name == "input_ids" else None
    if name.endswith(_NEXT_TOKENS):
        return (_floats("logits", BATCH, SEQUENCE, config.vocab_size),)
    if name.endswith(("ForSequenceClassification", "ForImageClassification")):
        return (_floats("logits", BATCH, labels),)
    if name.endswith("ForTokenClassification"):
        return (_floats("logits", BATCH, SEQUENCE, labels),)
    if name.endswith("ForQuestionAnswering"):
        return (_floats("start_logits", BATCH, SEQUENCE), _floats("end_logits", BATCH, SEQUENCE))
    if name.endswith("Model"):
        pooled = (_floats("pooler_output", BATCH, config.hidden_size),) if getattr(model, "pooler", None) else ()
        return (_floats("last_hidden_state", BATCH, sequence, config.hidden_size), *pooled)
    reason = (
        "its outputs are not known; bare models and heads for the next token, masked tokens or classes are supported"
    )
    raise ArchitectureUnsupported(architecture=name, reason=reason)


def _pixels(config: PretrainedConfig) -> tuple[int, int, int]:
    size = config.image_size
    height, width = size if isinstance(size, list | tuple) else (size, size)
    return int(config.num_channels), int(height), int(width)


def _floats(name: str, *shape: int | str | None) -> TensorSpec:
    return TensorSpec(name=name, dtype="float32", shape=shape)
