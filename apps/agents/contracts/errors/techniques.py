"""Techniques and recipes that cannot be applied."""

from __future__ import annotations

from apps.errors import UserError


class TechniqueUnknown(UserError):
    code = "technique.unknown"
    sentence = "There is no technique {technique!r} here. Choose one of {known}."


class TechniqueParameters(UserError):
    code = "technique.parameters"
    sentence = "The parameters do not fit the technique: {reason}."


class TechniqueLibraryMissing(UserError):
    code = "technique.library_missing"
    sentence = "{technique} needs {libraries}, which this worker has not installed."


class TechniqueNotApplicable(UserError):
    code = "technique.not_applicable"
    sentence = "{technique} cannot be applied to this model: {reason}."


class TechniqueNoEffect(UserError):
    code = "technique.no_effect"
    sentence = "{technique} has changed nothing that it should: {reason}."


class TechniqueLibraryFailed(UserError):
    code = "technique.library_failed"
    sentence = "The library failed on this model while doing {technique}: {reason}."


class TechniqueInvalidOutput(UserError):
    code = "technique.invalid_output"
    sentence = "{technique} made a model that is not valid, and it was removed: {reason}."


class RecipeInvalid(UserError):
    code = "recipe.invalid"
    sentence = "The recipe cannot be followed: {reason}."
