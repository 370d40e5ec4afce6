"""Data sets of texts that cannot be read, or that do not fit the model."""

from __future__ import annotations

from apps.errors import UserError


class TextEncodingBroken(UserError):
    code = "dataset.text_encoding"
    sentence = "Line {line} of the data set is not UTF-8: {reason}. Save the file as UTF-8."


class TextLineBroken(UserError):
    code = "dataset.text_line"
    sentence = (
        "Line {line} of the data set is not a JSON object: {reason}. Write one object per line, such as {example}."
    )


class TextFieldMissing(UserError):
    code = "dataset.text_field_missing"
    sentence = "Line {line} of the data set has no {name!r}: it has {found}. A line is such as {example}."


class TextFieldInvalid(UserError):
    code = "dataset.text_field_invalid"
    sentence = "{name!r} in line {line} of the data set is {found}, but {wanted} is required."


class TextBlank(UserError):
    code = "dataset.text_blank"
    sentence = "{name!r} in line {line} of the data set is empty. Write a text, or remove the line."


class TextOneWord(UserError):
    code = "dataset.text_one_word"
    sentence = (
        "{name!r} in line {line} of the data set is a single word, but the last word has to be predicted from the "
        "words before it. For a choice, give {choices!r} and {answer!r} as well."
    )


class AnswerOutOfRange(UserError):
    code = "dataset.answer_range"
    sentence = (
        "{name!r} in line {line} of the data set is {answer}, but there are {choices} choices. Write the index of the"
        " right one, from 0 to {last}."
    )


class TextClassUnknown(UserError):
    code = "dataset.text_class"
    sentence = (
        "{name!r} in line {line} of the data set is {found}, which is not one of the classes: {known}. Write a class "
        "number from 0, or list all names in `classes` in the order of the model's outputs."
    )


class TextsUnlabelled(UserError):
    code = "dataset.text_unlabelled"
    sentence = "The task {task} needs more than plain text. Write one JSON object per line, such as {example}."


class TokenizerMissing(UserError):
    code = "dataset.needs_tokenizer"
    sentence = (
        "A data set of texts needs a model with a tokenizer, and {model} has none. Upload the model as a transformers"
        " folder with its tokenizer's files, or turn the texts into the model's inputs yourself and upload them as "
        "arrays (.npz)."
    )


class ModelUnfitForTexts(UserError):
    code = "dataset.model_unfit_for_texts"
    sentence = "The model does not fit the task {task} on texts: {reason}."


class TextInputUnknown(UserError):
    code = "dataset.text_input"
    sentence = (
        "The model's input {wanted} cannot be made of texts: a tokenizer fills {known}, each with the axes [batch, "
        "tokens]."
    )
