"""Models that cannot be loaded, run or compared with themselves."""

from __future__ import annotations

from apps.errors import UserError


class ModelNotLoadable(UserError):
    code = "model.not_loadable"
    sentence = "The runtime cannot load the model: {reason}."


class ModelRunFailed(UserError):
    code = "model.run_failed"
    sentence = "The model fails on the data set's examples: {reason}."


class ModelNotDeterministic(UserError):
    code = "model.not_deterministic"
    sentence = (
        "The model returns different values in output {output!r} each time it runs on the same examples, so nothing "
        "can be compared with it: {reason}. Export it for inference, without dropout in training mode, random "
        "numbers, or state kept between runs."
    )


class ModelTrains(UserError):
    code = "model.in_training_mode"
    sentence = (
        "The model's output for an example depends on the other examples in its batch, because {operators} is in "
        "training mode. Export it in evaluation mode."
    )


class DeviceMissing(UserError):
    code = "target.device_missing"
    sentence = (
        "The target is {device}, but this worker's runtime has only {available}. Choose another target or worker."
    )
