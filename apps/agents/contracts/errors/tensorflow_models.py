"""TensorFlow models that cannot be taken."""

from __future__ import annotations

from apps.errors import UserError


class KerasDamaged(UserError):
    code = "model.keras_damaged"
    sentence = "The file cannot be read as a Keras model: {reason}."


class KerasLambda(UserError):
    code = "model.keras_lambda"
    sentence = (
        "The model has Lambda layers ({layers}), and loading it would run their Python code, so it is not loaded. "
        "Write them as Keras layers or with keras.ops, and save the model again."
    )


class KerasCustomObjects(UserError):
    code = "model.keras_custom_objects"
    sentence = (
        "The model contains objects that Keras does not have: {names}. Their code is not in the file. Build them from"
        " Keras layers, or export the model with model.export and upload a zip of that SavedModel."
    )


class KerasUnsafe(UserError):
    code = "model.keras_unsafe"
    sentence = "The model's {layer!r} is not loaded: it {reason}."


class Hdf5Unsafe(UserError):
    code = "model.weights_unsafe"
    sentence = "The weights are not read: {name!r} {what}. Save the model again with Keras."


class SavedModelAlone(UserError):
    code = "model.saved_model_alone"
    sentence = (
        "This is the saved_model.pb of a SavedModel without the rest of its folder. Zip the whole folder, with its "
        "variables, and upload that."
    )


class SavedModelDamaged(UserError):
    code = "model.saved_model_damaged"
    sentence = "The archive's SavedModel cannot be read: {reason}."


class VariablesMissing(UserError):
    code = "model.variables_missing"
    sentence = "The SavedModel has {count} variables, but its archive lacks {missing}. Zip the whole folder."


class SignatureMissing(UserError):
    code = "model.signature_missing"
    sentence = (
        "The SavedModel has no signature, so its inputs are not known. Save it with signatures, or with Keras' "
        "model.export."
    )


class SignatureUnknown(UserError):
    code = "model.signature_unknown"
    sentence = "The model has no signature {signature!r}. It has {offered}."


class GraphTouchesFiles(UserError):
    code = "model.graph_touches_files"
    sentence = "The graph is refused: its operator {operator} ({node}) {what}. {advice}."


class GraphOperatorsUnknown(UserError):
    code = "model.graph_unknown_operators"
    sentence = (
        "The installed TensorFlow does not have these operators of the graph: {operators}. Export it without custom "
        "operators."
    )
