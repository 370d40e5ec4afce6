"""Model files that cannot be taken, of ONNX and in general."""

from __future__ import annotations

from apps.errors import UserError


class ModelWrongType(UserError):
    code = "model.wrong_type"
    sentence = (
        "By its content, this file is {found}, not {wanted}. The format is detected from the content, not from the "
        "file name."
    )


class ModelTruncated(UserError):
    code = "model.truncated"
    sentence = "The model file ends in the middle: {reason}. The upload or the export was cut short; upload it again."


class ModelMalformed(UserError):
    code = "model.malformed"
    sentence = "The model is not valid ONNX: {reason}."


class ModelTooLarge(UserError):
    code = "model.too_large"
    status = 413
    sentence = "The model takes {size_mib:,.1f} MiB, but at most {limit_mib:,.1f} MiB are allowed."


class ModelEmpty(UserError):
    code = "model.empty_graph"
    sentence = "The model's graph has no {missing}: there is nothing to optimize."


class ModelInterfaceUnsupported(UserError):
    code = "model.interface_unsupported"
    sentence = "The {end} {name!r} is {kind}, but only plain tensors can be fed and compared. Export it again {how}."


class OpsetUnsupported(UserError):
    code = "model.opset_unsupported"
    sentence = (
        "The model uses opset {opset} of {domain}, but the installed runtime supports {low} to {high}. Export it "
        "again with an opset in this range."
    )


class OperatorsUnknown(UserError):
    code = "model.unknown_operators"
    sentence = "No installed runtime has these operators of the model: {operators}. Export it without custom operators."


class ArchiveWithoutModel(UserError):
    code = "model.archive_contents"
    sentence = "The archive contains {count} .onnx files{names}. Pack exactly one, with the data files it refers to."


class ExternalDataMissing(UserError):
    code = "model.external_data_missing"
    sentence = (
        "The weights of {tensor!r} are in the external file {location!r}, {reason}. Upload a zip with the .onnx file "
        "and its data files."
    )


class ExternalDataEscape(UserError):
    code = "model.external_data_escape"
    sentence = "The weights of {tensor!r} point to {location!r}, outside the model's own folder, which is not allowed."
