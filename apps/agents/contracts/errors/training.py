"""Models and data sets that cannot be trained, or not any further."""

from __future__ import annotations

from apps.errors import UserError


class TrainingPartMissing(UserError):
    code = "training.part_missing"
    sentence = (
        "{technique} trains the model, but the data set has no training part. Give the data set a training share, "
        "such as 0.4."
    )


class ModelNotTrainable(UserError):
    code = "training.model_not_trainable"
    sentence = "{technique} cannot train this model: {reason}."


class TrainingDiverged(UserError):
    code = "training.diverged"
    sentence = (
        "The loss was not a number any more after {step} steps of {technique}. Try a learning rate below {rate:g}."
    )


class OperatorNotRebuilt(UserError):
    code = "training.operator_not_rebuilt"
    sentence = "{operator} at {node} cannot be rebuilt in PyTorch, so the model cannot be trained: {reason}."
