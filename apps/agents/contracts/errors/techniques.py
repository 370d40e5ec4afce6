"""Techniques and recipes that cannot be applied."""

from __future__ import annotations

from apps.errors import UserError


class TechniqueUnknown(UserError):
    code = "technique.unknown"
    sentence = "There is no technique {technique!r}. Choose one of {known}."


class TechniqueParameters(UserError):
    code = "technique.parameters"
    sentence = "The parameters do not fit the technique: {reason}."


class TechniqueInputs(UserError):
    code = "technique.inputs"
    sentence = (
        "{technique} reads other models beside the one that it changes: {wanted}. The step names {given}. "
        "Name exactly those that the technique's spec lists as its inputs."
    )


class TechniqueLibraryMissing(UserError):
    code = "technique.library_missing"
    sentence = "{technique} needs {libraries}, which is not installed on this worker."


class TechniqueNotApplicable(UserError):
    code = "technique.not_applicable"
    sentence = "{technique} cannot be applied to this model: {reason}."


class TechniqueNoEffect(UserError):
    code = "technique.no_effect"
    sentence = "{technique} changed nothing: {reason}."


class TechniqueLibraryFailed(UserError):
    code = "technique.library_failed"
    sentence = "The library failed on this model during {technique}: {reason}."


class TechniqueInvalidOutput(UserError):
    code = "technique.invalid_output"
    sentence = "{technique} made an invalid model, which was removed: {reason}."


class TechniqueNothingToPrune(UserError):
    code = "technique.nothing_to_prune"
    sentence = "{technique} finds nothing that it can cut: {reason}."


class TechniqueNothingToDecompose(UserError):
    code = "technique.nothing_to_decompose"
    sentence = "{technique} finds no layer that it can replace by smaller factors: {reason}."


class TechniqueNothingToCluster(UserError):
    code = "technique.nothing_to_cluster"
    sentence = (
        "{technique} finds no weight that it could make share {clusters} values: {reason}. Ask for fewer clusters, or "
        "choose another technique."
    )


class TechniqueNothingToSearch(UserError):
    code = "technique.nothing_to_search"
    sentence = "{technique} finds no architecture to choose from: {reason}."


class TechniqueNotTraceable(UserError):
    code = "technique.not_traceable"
    sentence = (
        "{technique} follows the channels of a model through a trace of it, and this model cannot be traced: {reason}. "
        "Remove branches that depend on values, or upload the model as an exported program."
    )


class TechniqueSearchTooSlow(UserError):
    code = "technique.search_too_slow"
    sentence = (
        "{technique} is asked for a network that takes at most {asked} of the original's time, but the smallest one "
        "takes {least}. Allow more, or allow narrower widths."
    )


class TechniquePattern(UserError):
    code = "technique.pattern"
    sentence = (
        "{technique} keeps {kept} of every {group} neighbours in a row, but the rows of the layer {layer} have "
        "{columns} weights, which is not a multiple of {group}. Keep that layer dense, or choose the unstructured "
        "pattern."
    )


class TechniqueTooSlow(UserError):
    code = "technique.too_slow"
    sentence = (
        "{technique} cannot make this model {goal}: even with {share} of its multiply-accumulates removed, which is "
        "the most possible, it is {speedup} times as fast and takes {latency_ms} ms. Ask for less, or allow narrower "
        "widths."
    )


class TechniqueQuantizedModel(UserError):
    code = "technique.quantized_model"
    sentence = (
        "{technique} needs weights in floats, and this model is quantized already ({how}). Start from the model as it "
        "was before, and quantize afterwards."
    )


class TechniqueWithoutCalibration(UserError):
    code = "technique.without_calibration"
    sentence = (
        "{technique} fits weights to calibration examples, and the data set sets none apart. Use a data set with more "
        "examples, or a larger calibration share."
    )


class RecipeInvalid(UserError):
    code = "recipe.invalid"
    sentence = "The recipe cannot be followed: {reason}."
