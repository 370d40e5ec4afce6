"""Whether a data set of texts fits a model, which needs a tokenizer and an architecture for the task."""

from __future__ import annotations

from apps.agents.contracts.dataset_spec import TASKS_OF_TEXTS_ALONE, DatasetSpec
from apps.agents.contracts.errors.texts import ModelUnfitForTexts, TextInputUnknown, TokenizerMissing
from apps.agents.contracts.reports.dataset import DatasetSummary, Task
from apps.agents.contracts.reports.model import LanguageModel, ModelSummary, TensorSpec

TEXT_INPUTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids")
"""Inputs that a tokenizer fills, each `[batch, tokens]`."""


def check_text_input(wanted: TensorSpec) -> None:
    """Raise `TextInputUnknown` for an input that tokens cannot fill."""
    fits = not wanted.shape or len(wanted.shape) == 2
    if wanted.name not in TEXT_INPUTS or not fits or not wanted.dtype.startswith("int"):
        raise TextInputUnknown(wanted=str(wanted), known=", ".join(TEXT_INPUTS), field=wanted.name)


def check_texts(model: ModelSummary, dataset: DatasetSummary, spec: DatasetSpec | None, output: TensorSpec) -> None:
    """Raise `TokenizerMissing` or `ModelUnfitForTexts` if the model cannot read texts or cannot do the data set's task.

    `output` is the judged output.
    """
    language = model.language
    if language is None or not language.tokenizer:
        raise TokenizerMissing(model=f"this model ({model.format})", field="dataset")
    if reason := _unfit(language, output, dataset.task, spec):
        raise ModelUnfitForTexts(task=dataset.task, reason=f"{language.architecture} {reason}", field="task")


def _unfit(language: LanguageModel, output: TensorSpec, task: Task, spec: DatasetSpec | None) -> str | None:
    """Why a language model with this `output` cannot do the task, as the end of a sentence; `None` if it can."""
    if task in TASKS_OF_TEXTS_ALONE and not language.generative:
        return "does not predict the next token, which perplexity and log-likelihood need"
    if task is Task.CLASSIFICATION and len(output.shape) not in (0, 2):
        return f"gives {output}, but one score per class [batch, classes] is needed: upload a sequence classifier"
    if task is Task.EMBEDDING and language.generative and (spec is None or spec.output is None):
        return f"gives {output}, scores of the next token: choose an output with hidden states, or upload an encoder"
    if task is Task.EMBEDDING and len(output.shape) == 3 and spec is not None and spec.pooling == "none":
        return f"gives {output}, an embedding for each token: choose the pooling first or mean"
    return None
