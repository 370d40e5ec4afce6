"""Model files that cannot be taken, of ONNX and in general."""

from __future__ import annotations

from apps.errors import UserError


class ModelWrongType(UserError):
    code = "model.wrong_type"
    sentence = "By its content this is {found}, not {wanted}. Its name does not matter, its bytes do."


class ModelTruncated(UserError):
    code = "model.truncated"
    sentence = "The model file ends in the middle: {reason}. The upload or the export was cut short; upload it again."


class ModelMalformed(UserError):
    code = "model.malformed"
    sentence = "The model is not valid ONNX: {reason}."


class ModelTooLarge(UserError):
    code = "model.too_large"
    status = 413
    sentence = "The model takes {size_mib:,.1f} MiB, and {limit_mib:,.1f} MiB are allowed here."


class ModelEmpty(UserError):
    code = "model.empty_graph"
    sentence = "The model's graph has no {missing}: there is nothing to optimize."


class ModelInterfaceUnsupported(UserError):
    code = "model.interface_unsupported"
    sentence = "The {end} {name!r} is {kind}, and only plain tensors can be fed and compared. Export it again {how}."


class OpsetUnsupported(UserError):
    code = "model.opset_unsupported"
    sentence = (
        "The model uses opset {opset} of {domain}, and the runtime here knows {low} to {high}. "
        "Export it again with an opset in this range."
    )


class OperatorsUnknown(UserError):
    code = "model.unknown_operators"
    sentence = "No runtime here has these operators of the model: {operators}. Export it without custom operators."


class ArchiveWithoutModel(UserError):
    code = "model.archive_contents"
    sentence = "The archive holds {count} .onnx files{names}. Pack exactly one, with the data files that it refers to."


class ExternalDataMissing(UserError):
    code = "model.external_data_missing"
    sentence = (
        "The weights of {tensor!r} stand in the external file {location!r}, {reason}. "
        "Upload a zip with the .onnx file and its data files."
    )


class ExternalDataEscape(UserError):
    code = "model.external_data_escape"
    sentence = "The weights of {tensor!r} point to {location!r}, outside the model's own folder. That is not allowed."
