"""Data sets that cannot be read, or that do not fit the model."""

from __future__ import annotations

from apps.errors import UserError


class DatasetUnreadable(UserError):
    code = "dataset.unreadable"
    sentence = "The data set cannot be read as {kind}: {reason}."


class DatasetTooLarge(UserError):
    code = "dataset.too_large"
    status = 413
    sentence = "The data set is refused: {reason}."


class PickledArray(UserError):
    code = "dataset.pickled_array"
    sentence = (
        "Array {array!r} has the type {descr}, which would have to be unpickled or is not a tensor type. Save it as "
        "numbers, booleans or fixed-length strings."
    )


class DatasetEmpty(UserError):
    code = "dataset.empty"
    sentence = "The data set has no examples: {reason}."


class TooFewExamples(UserError):
    code = "dataset.too_few_examples"
    sentence = (
        "The data set has {examples} examples. At least {minimum} are needed, because calibration and evaluation use "
        "separate examples."
    )


class ArrayLengths(UserError):
    code = "dataset.array_lengths"
    sentence = (
        "Array {array!r} has {length} examples and {other!r} has {expected}: every array needs one entry per example."
    )


class LabelsMissing(UserError):
    code = "dataset.labels_missing"
    sentence = "The task {task} needs labels in {label!r}, but the data set has only {offered}."


class LabelsInvalid(UserError):
    code = "dataset.labels_invalid"
    sentence = "The labels in {label!r} do not fit the task {task}: {reason}."


class GroupsMissing(UserError):
    code = "dataset.groups_missing"
    sentence = "The groups should be in {group!r}, but the data set has only {offered}."


class GroupsInvalid(UserError):
    code = "dataset.groups_invalid"
    sentence = "{group!r} cannot assign examples to groups: {reason}."


class LabelCount(UserError):
    code = "dataset.label_count"
    sentence = "{label!r} has {labels} labels for {examples} examples. Each example needs one."


class ClassesMismatch(UserError):
    code = "dataset.classes_mismatch"
    sentence = "The data set and the model disagree on the classes: {reason}."


class InputMissing(UserError):
    code = "dataset.input_missing"
    sentence = (
        "The model's input {wanted} has no data. The data set has {offered}. If the input is the same for all "
        "examples, such as a sample rate or an initial state, declare it with the data set."
    )


class InputReadingUnknown(UserError):
    code = "dataset.input_reading_unknown"
    sentence = "The data set says how to fill the input {name!r}, but the model takes only {wanted}."


class InputUnfilled(UserError):
    code = "dataset.input_unfilled"
    sentence = "The input {wanted} cannot be filled as the data set says: {reason}."


class BatchAxisUnclear(UserError):
    code = "dataset.batch_axis_unclear"
    sentence = (
        "Examples along the first axis of {wanted} change each other's outputs; along the axes {axes} they do not. "
        "Add the data set again and state the batch axis of each input."
    )


class InputExtra(UserError):
    code = "dataset.input_extra"
    sentence = (
        "The data set's array {extra} does not belong to any input. The model takes {wanted}. Rename the array or "
        "leave it out."
    )


class InputDtype(UserError):
    code = "dataset.input_dtype"
    sentence = (
        "Input {name!r}: the model takes {wanted}, but the data set has {found}, which cannot be converted safely."
    )


class TextColumns(UserError):
    code = "dataset.text_columns"
    sentence = (
        "{columns} of the data set contains text, but the model's input {wanted} takes numbers. Convert the text to "
        "the numbers that the model was trained with, or leave it out."
    )


class InputShape(UserError):
    code = "dataset.input_shape"
    sentence = "Input {name!r}: the model takes {wanted}, but the data set has {found}; {reason}."


class InterfaceUnknown(UserError):
    code = "model.interface_unknown"
    sentence = (
        "It is not known what the model {lacking}, so no data set can be checked against it. Upload it again: the "
        "inspection finds out what it can. Declare the rest in lathe.toml, with an [[input]] or [[output]] for each."
    )


class OutputUnknown(UserError):
    code = "dataset.output_unknown"
    sentence = "The model has no output {output!r} to read predictions from: it has {offered}."


class ModelAtChance(UserError):
    code = "dataset.model_at_chance"
    sentence = (
        "The data set does not seem to belong to this model: on {examples} of its examples the model is {found}, and "
        "{chance}. {hint} Correct the data, or upload the inputs with the task fidelity to optimize the model without"
        " labels."
    )


class ValuesOutOfRange(UserError):
    code = "dataset.value_range"
    sentence = "Array {array!r} contains values from {low} to {high}, which do not fit into {dtype}."


class ValuesNotFinite(UserError):
    code = "dataset.not_finite"
    sentence = "Array {array!r} contains {count} values that are NaN or infinite, the first in example {example}."


class ImageBroken(UserError):
    code = "dataset.image_broken"
    sentence = "The image {name!r} cannot be decoded: {reason}."


class ImagesBroken(UserError):
    code = "dataset.images_broken"
    sentence = "{count} of {checked} pictures cannot be decoded: {names}. Save them again, or remove them."


class PicturesUnread(UserError):
    code = "dataset.pictures_unread"
    sentence = (
        "{count} of {files} files are pictures in unsupported formats ({kinds}): {names}. Save them as PNG or JPEG, "
        "or remove them."
    )


class CellInvalid(UserError):
    code = "dataset.cell_invalid"
    sentence = "Column {column!r} must contain only numbers, but row {row} contains {value!r}."


class CellEmpty(UserError):
    code = "dataset.cell_empty"
    sentence = "Column {column!r} has no value in row {row}. Fill it in, or leave out the row or the column."


class NumberAmbiguous(UserError):
    code = "dataset.number_ambiguous"
    sentence = (
        "Column {column!r} contains {value!r} in row {row}, and nothing in the file shows whether its separator is a "
        "decimal or a thousands separator. Save the table with decimal points and without thousands separators."
    )
