"""What a transformers model takes and gives, by its class: names, types, shapes with their free axes."""

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
    """The inputs of a plain run: of texts their ids and mask, and what else the tokenizer has `made`; or pixels.

    Where rows cannot be filled up without harm, a classifier of texts takes each `alone`, in batches of one.
    Raises `ArchitectureUnsupported` for a model of anything else.
    """
    if model_class.main_input_name == "pixel_values":
        return (TensorSpec(name="pixel_values", dtype="float32", shape=(BATCH, *_pixels(config))),)
    taken = inspect.signature(model_class.forward).parameters
    if model_class.main_input_name != "input_ids" or "input_ids" not in taken:
        reason = f"it takes {model_class.main_input_name}, and texts or images are what is read here"
        raise ArchitectureUnsupported(architecture=model_class.__name__, reason=reason)
    names = [name for name in TEXT_INPUTS if name in taken and (name != "token_type_ids" or name in made)]
    batch = 1 if alone and model_class.__name__.endswith("ForSequenceClassification") else BATCH
    return tuple(TensorSpec(name=name, dtype="int64", shape=(batch, SEQUENCE)) for name in names)


def outputs_of(model: PreTrainedModel) -> tuple[TensorSpec, ...]:
    """The outputs by the head that the class is named after. Raises `ArchitectureUnsupported` for one not known."""
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
    reason = "what it gives is not known here; bare models and heads for the next token, masked tokens or classes are"
    raise ArchitectureUnsupported(architecture=name, reason=reason)


def _pixels(config: PretrainedConfig) -> tuple[int, int, int]:
    size = config.image_size
    height, width = size if isinstance(size, list | tuple) else (size, size)
    return int(config.num_channels), int(height), int(width)


def _floats(name: str, *shape: int | str | None) -> TensorSpec:
    return TensorSpec(name=name, dtype="float32", shape=shape)
