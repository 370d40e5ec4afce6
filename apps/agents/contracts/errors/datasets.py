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
        "Array {array!r} has the type {descr}, which would have to be unpickled or has no tensor type. "
        "Save it as numbers, booleans or fixed-length strings."
    )


class DatasetEmpty(UserError):
    code = "dataset.empty"
    sentence = "The data set has no examples: {reason}."


class TooFewExamples(UserError):
    code = "dataset.too_few_examples"
    sentence = (
        "The data set has {examples} examples, and at least {minimum} are needed so that calibration and evaluation "
        "each get their own."
    )


class ArrayLengths(UserError):
    code = "dataset.array_lengths"
    sentence = (
        "Array {array!r} has {length} examples and {other!r} has {expected}: every array needs one entry an example."
    )


class LabelsMissing(UserError):
    code = "dataset.labels_missing"
    sentence = "The task {task} needs labels in {label!r}, and the data set offers {offered} only."


class LabelsInvalid(UserError):
    code = "dataset.labels_invalid"
    sentence = "The labels in {label!r} do not fit the task {task}: {reason}."


class GroupsMissing(UserError):
    code = "dataset.groups_missing"
    sentence = "The groups are to stand in {group!r}, and the data set offers {offered} only."


class GroupsInvalid(UserError):
    code = "dataset.groups_invalid"
    sentence = "{group!r} cannot say which group an example belongs to: {reason}."


class LabelCount(UserError):
    code = "dataset.label_count"
    sentence = "There are {labels} labels in {label!r} for {examples} examples: there must be one each."


class ClassesMismatch(UserError):
    code = "dataset.classes_mismatch"
    sentence = "The data set and the model disagree on the classes: {reason}."


class InputMissing(UserError):
    code = "dataset.input_missing"
    sentence = (
        "The model's input {wanted} has no data: the data set offers {offered}. Where it is the same for all examples, "
        "such as a rate or a first state, say so with the data set."
    )


class InputReadingUnknown(UserError):
    code = "dataset.input_reading_unknown"
    sentence = "The data set says how the input {name!r} is filled, and the model takes {wanted} only."


class InputUnfilled(UserError):
    code = "dataset.input_unfilled"
    sentence = "The input {wanted} cannot be filled as the data set says: {reason}."


class BatchAxisUnclear(UserError):
    code = "dataset.batch_axis_unclear"
    sentence = (
        "Examples that stand along the first axis of {wanted} change each other's outputs, and along the axes {axes} "
        "they do not. Add the data set again and say along which axis of each input the examples stand."
    )


class InputExtra(UserError):
    code = "dataset.input_extra"
    sentence = "The data set's array {extra} belongs to no input: the model takes {wanted}. Rename it or leave it out."


class InputDtype(UserError):
    code = "dataset.input_dtype"
    sentence = (
        "Input {name!r}: the model takes {wanted} and the data set has {found}, which cannot be converted safely."
    )


class TextColumns(UserError):
    code = "dataset.text_columns"
    sentence = (
        "{columns} of the data set holds text, and the model's input {wanted} takes numbers. Turn the text into the "
        "numbers that the model was trained with, or leave it out."
    )


class InputShape(UserError):
    code = "dataset.input_shape"
    sentence = "Input {name!r}: the model takes {wanted} and the data set has {found}; {reason}."


class InterfaceUnknown(UserError):
    code = "model.interface_unknown"
    sentence = (
        "It is not known what the model {lacking}, so no data set can be tried on it. Upload it again: what can be "
        "found out is found then, and what cannot is said in its lathe.toml, with an [[input]] or [[output]] for each."
    )


class OutputUnknown(UserError):
    code = "dataset.output_unknown"
    sentence = "The model has no output {output!r} to read predictions from: it has {offered}."


class ModelAtChance(UserError):
    code = "dataset.model_at_chance"
    sentence = (
        "The data set does not seem to be this model's: on {examples} of its examples the model is {found}, and "
        "{chance}. {hint} Mend the data, or upload the inputs with the task fidelity to optimize the model whatever "
        "the labels say."
    )


class ValuesOutOfRange(UserError):
    code = "dataset.value_range"
    sentence = "Array {array!r} holds values from {low} to {high}, which {dtype} cannot hold."


class ValuesNotFinite(UserError):
    code = "dataset.not_finite"
    sentence = "Array {array!r} holds {count} values that are NaN or infinite, the first in example {example}."


class ImageBroken(UserError):
    code = "dataset.image_broken"
    sentence = "The image {name!r} cannot be decoded: {reason}."


class ImagesBroken(UserError):
    code = "dataset.images_broken"
    sentence = "{count} of {checked} pictures cannot be decoded: {names}. Save them anew, or take them out."


class PicturesUnread(UserError):
    code = "dataset.pictures_unread"
    sentence = (
        "{count} of {files} files are pictures of a kind that is not read ({kinds}): {names}. Save them as PNG or "
        "JPEG, or take them out."
    )


class CellInvalid(UserError):
    code = "dataset.cell_invalid"
    sentence = "Column {column!r} is not all numbers: row {row} holds {value!r}."


class CellEmpty(UserError):
    code = "dataset.cell_empty"
    sentence = "Column {column!r} has no value in row {row}. Fill it, or leave the row or the column out."


class NumberAmbiguous(UserError):
    code = "dataset.number_ambiguous"
    sentence = (
        "Column {column!r} holds {value!r} in row {row}, and nothing in the file says whether its separator stands "
        "before decimals or between thousands. Save the table without separators between thousands, and with decimal "
        "points."
    )
