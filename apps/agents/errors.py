"""What a member can get wrong about models, data sets and techniques: the codes and sentences of the agents.

Each section belongs to the modules it is named after.
"""

from __future__ import annotations

from apps.errors import UserError

# --- archives (apps.agents.archives) ---------------------------------------------------------------------------------


class ArchiveDamaged(UserError):
    code = "archive.damaged"
    sentence = "The zip archive cannot be read: {reason}. Upload it again, or pack it anew."


class ArchivePathEscape(UserError):
    code = "archive.path_escape"
    sentence = "The archive's entry {name!r} points outside the archive. Pack the files with plain relative names."


class ArchiveLink(UserError):
    code = "archive.link"
    sentence = "The archive's entry {name!r} is a link or a device. Pack the file itself."


class ArchiveBomb(UserError):
    code = "archive.bomb"
    status = 413
    sentence = "The archive is refused before unpacking: {reason}."


class ArchiveEncrypted(UserError):
    code = "archive.encrypted"
    sentence = "The archive's entry {name!r} is encrypted. Pack it without a password."


class ArchiveDuplicate(UserError):
    code = "archive.duplicate"
    sentence = "The archive holds {name!r} twice, or as a file and a folder. Each path may stand in it once."


class ArchiveCompression(UserError):
    code = "archive.compression"
    sentence = "The archive's entry {name!r} is compressed by method {method}, which is not known here. Use deflate."


# --- models (apps.agents.onnx_wire, apps.agents.backends.onnx) ------------------------------------------------------


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


# --- PyTorch models (apps.agents.backends.torch) ----------------------------------------------------------------------


class PickledModule(UserError):
    code = "model.pickled_module"
    sentence = (
        "{file!r} is a whole module that was pickled: opening it would run code (it asks for {wanted}), so it is not "
        "opened. Save its state dict and add a lathe.toml that names the architecture, or save an exported program "
        "with torch.export.save."
    )


class PickleRefused(UserError):
    code = "model.pickle_refused"
    sentence = (
        "{file!r} is a pickle that holds more than weights: it asks for {wanted}, so it is not opened. "
        "Save the model's state dict alone, with torch.save or as safetensors."
    )


class StateDictExpected(UserError):
    code = "model.state_dict_expected"
    sentence = "{file!r} is no state dict of named tensors: {found}. Save the model's state dict and nothing else."


class WeightsMissing(UserError):
    code = "model.weights_missing"
    sentence = "The archive has no weights: expected {names}."


class ShardsMissing(UserError):
    code = "model.shards_missing"
    sentence = "{index!r} names {count} files with weights, and these are not in the archive: {missing}."


class WeightsUnfit(UserError):
    code = "model.weights_unfit"
    sentence = "The weights do not fit the architecture {architecture}: {reason}."


class ConfigurationInvalid(UserError):
    code = "model.configuration_invalid"
    sentence = "The folder's {file} cannot be used: {reason}."


class RemoteCode(UserError):
    code = "model.remote_code"
    sentence = (
        "The folder's config.json names code of its own as automatic mapping ({names}), which is never run here. Use a "
        "model whose class transformers has, or upload the weights with a lathe.toml and the Python file."
    )


class ArchitectureUnsupported(UserError):
    code = "model.architecture_unsupported"
    sentence = "The architecture {architecture!r} is not supported: {reason}."


class ArchitectureMissing(UserError):
    code = "model.architecture_missing"
    sentence = (
        "This is {found}: weights without the network that they belong to. Upload a zip of it with a lathe.toml that "
        'has architecture = "name" of an installed package (or file = "model.py" and factory = "build") and an '
        "[[input]] with name, dtype and shape; or save the model with torch.export.save."
    )


class ArchitectureUnknown(UserError):
    code = "model.architecture_unknown"
    sentence = (
        "No installed package offers the architecture {architecture!r}. Known here: {known}. Or send the code along: "
        'file = "model.py" and factory = "build" in lathe.toml.'
    )


class DescriptionInvalid(UserError):
    code = "model.description_invalid"
    sentence = (
        "The archive's lathe.toml cannot be used: {reason}. It needs an architecture, or a file and a factory, and an "
        '[[input]] such as name = "image", dtype = "float32", shape = ["batch", 3, 224, 224] for each input.'
    )


class FactoryFailed(UserError):
    code = "model.factory_failed"
    sentence = "The model cannot be built by {factory}: {reason}."


class OutputsUnknown(UserError):
    code = "model.outputs_unknown"
    sentence = (
        "Running the model once to see what it gives failed: {reason}. Check the inputs in lathe.toml, or say what "
        "comes out with an [[output]] for each output."
    )


class OutputsReturned(UserError):
    code = "model.outputs_returned"
    sentence = (
        "The model returned {found}, and {wanted} is what it was said to give. Correct the [[output]] tables in "
        "lathe.toml, or leave them out: then the model is run once to see."
    )


class ProgramUnsupported(UserError):
    code = "model.program_unsupported"
    sentence = "The exported program cannot be used: {reason}."


class ProgramCode(UserError):
    code = "model.program_code"
    sentence = (
        "The archive is refused: {reason}, and a program may hold nothing but operators on tensors, and plain weights."
    )


class ScriptTouchesFiles(UserError):
    code = "model.script_touches_files"
    sentence = "The archive's script calls {operator} ({file}): it reads or writes files, so it is refused."


class ScriptInterface(UserError):
    code = "model.script_interface"
    sentence = (
        "A scripted archive does not say what it takes, and here it cannot be read off the first layer ({reason}). "
        "Save it with torch.jit.save and an extra file lathe.toml that has an [[input]] with name, dtype and shape for "
        "each input."
    )


class TokenizerBroken(UserError):
    code = "model.tokenizer_broken"
    sentence = "The folder's tokenizer cannot be opened: {reason}."


# --- TensorFlow models (apps.agents.backends.tensorflow) --------------------------------------------------------------


class KerasDamaged(UserError):
    code = "model.keras_damaged"
    sentence = "The file cannot be read as a Keras model: {reason}."


class KerasLambda(UserError):
    code = "model.keras_lambda"
    sentence = (
        "The model has Lambda layers ({layers}), whose Python code would have to be run to load it, so it is not "
        "loaded. Write them as layers of Keras or with keras.ops, and save the model again."
    )


class KerasCustomObjects(UserError):
    code = "model.keras_custom_objects"
    sentence = (
        "The model is made of objects that Keras does not have: {names}. Their code is not in the file. Build them "
        "from layers of Keras, or export the model with model.export and upload a zip of that SavedModel."
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
    sentence = "The SavedModel has {count} variables, and its archive lacks {missing}. Zip the whole folder."


class SignatureMissing(UserError):
    code = "model.signature_missing"
    sentence = (
        "The SavedModel offers no signature, so nothing says what it takes. Save it with signatures, or with "
        "model.export of Keras."
    )


class SignatureUnknown(UserError):
    code = "model.signature_unknown"
    sentence = "The model has no signature {signature!r}. It offers {offered}."


class GraphTouchesFiles(UserError):
    code = "model.graph_touches_files"
    sentence = "The graph is refused: its operator {operator} ({node}) {what}. {advice}."


class GraphOperatorsUnknown(UserError):
    code = "model.graph_unknown_operators"
    sentence = (
        "TensorFlow here does not have these operators of the graph: {operators}. Export it without custom operators."
    )


# --- TensorFlow Lite models (apps.agents.backends.litert) -------------------------------------------------------------


class LiteRtDamaged(UserError):
    code = "model.litert_damaged"
    sentence = "The file cannot be read as a TensorFlow Lite model: {reason}. Convert or upload it again."


# --- running a model (apps.agents.backends.onnx.runtime, apps.agents.analysis) ----------------------------------------


class ModelNotLoadable(UserError):
    code = "model.not_loadable"
    sentence = "The runtime cannot load the model: {reason}."


class ModelRunFailed(UserError):
    code = "model.run_failed"
    sentence = "The model fails on the data set's examples: {reason}."


class ModelNotDeterministic(UserError):
    code = "model.not_deterministic"
    sentence = (
        "The model gives other values in output {output!r} each time it is run on the same examples, so nothing can be "
        "compared with it: {reason}. Export it for inference, without dropout in training mode, random numbers or a "
        "state that is kept between runs."
    )


class ModelTrains(UserError):
    code = "model.in_training_mode"
    sentence = (
        "What the model gives for an example depends on the other examples of its batch, as it does where "
        "{operators} is in training mode. Export it in evaluation mode."
    )


class DeviceMissing(UserError):
    code = "target.device_missing"
    sentence = (
        "The target is {device}, and this worker's runtime offers {available} only. Choose another target or worker."
    )


# --- data sets (apps.agents.dataset_headers, dataset_fit, datasets) ---------------------------------------------------


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


# --- data sets of texts (apps.agents.text_files, dataset_fit, datasets) -----------------------------------------------


class TextEncodingBroken(UserError):
    code = "dataset.text_encoding"
    sentence = "Line {line} of the data set is not UTF-8: {reason}. Save the file as UTF-8."


class TextLineBroken(UserError):
    code = "dataset.text_line"
    sentence = "Line {line} of the data set is not a JSON object: {reason}. Write one object a line, such as {example}."


class TextFieldMissing(UserError):
    code = "dataset.text_field_missing"
    sentence = "Line {line} of the data set has no {name!r}: it has {found}. A line is such as {example}."


class TextFieldInvalid(UserError):
    code = "dataset.text_field_invalid"
    sentence = "{name!r} in line {line} of the data set is {found}, and {wanted} is needed."


class TextBlank(UserError):
    code = "dataset.text_blank"
    sentence = "{name!r} in line {line} of the data set is empty. Write a text, or leave the line out."


class TextOneWord(UserError):
    code = "dataset.text_one_word"
    sentence = (
        "{name!r} in line {line} of the data set is a single word, and the last word is to be predicted from those "
        "before it. For a choice, give {choices!r} and {answer!r} as well."
    )


class AnswerOutOfRange(UserError):
    code = "dataset.answer_range"
    sentence = (
        "{name!r} in line {line} of the data set is {answer}, and there are {choices} choices: write the place of the "
        "right one, from 0 to {last}."
    )


class TextClassUnknown(UserError):
    code = "dataset.text_class"
    sentence = (
        "{name!r} in line {line} of the data set is {found}, which is not among the classes: {known}. Write a class "
        "number from 0, or list all names in `classes` in the order of the model's output."
    )


class TextsUnlabelled(UserError):
    code = "dataset.text_unlabelled"
    sentence = "The task {task} needs more than plain text: write one JSON object a line, such as {example}."


class TokenizerMissing(UserError):
    code = "dataset.needs_tokenizer"
    sentence = (
        "A data set of texts needs a model with a tokenizer, and {model} has none. Upload the model as a transformers "
        "folder with its tokenizer's files, or turn the texts into the model's inputs yourself and upload them as "
        "arrays (.npz)."
    )


class ModelUnfitForTexts(UserError):
    code = "dataset.model_unfit_for_texts"
    sentence = "The model does not fit the task {task} on texts: {reason}."


class TextInputUnknown(UserError):
    code = "dataset.text_input"
    sentence = (
        "The model's input {wanted} cannot be made of texts: a tokenizer fills {known}, each with the axes "
        "[batch, tokens]."
    )


# --- evaluation (apps.agents.evaluation) ------------------------------------------------------------------------------


class OutputsNotFinite(UserError):
    code = "evaluation.not_finite"
    sentence = "The {which} gives NaN or infinite values in output {output!r} on the data set's examples."


class OutputsDiffer(UserError):
    code = "evaluation.outputs_differ"
    sentence = "The candidate's outputs are not the original's: {reason}."


class OutputUnfit(UserError):
    code = "evaluation.output_unfit"
    sentence = "Output {output!r} has the shape {shape}, which does not fit the task {task}: {reason}."


# --- the child process (apps.agents.process, apps.agents.child) -------------------------------------------------------


class StepOutOfMemory(UserError):
    code = "step.out_of_memory"
    sentence = "The step ran out of memory: {reason}."


class StepDiskFailed(UserError):
    code = "step.disk_failed"
    sentence = (
        "The step could not write on its worker: {reason}. Nothing that was done is lost: once there is room, resume "
        "the session."
    )


class StepTimedOut(UserError):
    code = "step.timed_out"
    sentence = "The step took longer than the {limit_s:,.0f} s that it may take here, and was stopped."


class StepKilled(UserError):
    code = "step.killed"
    sentence = "The step's process was ended by {signal}: a library crashed, or the machine ran out of memory."


class StepCoresUnavailable(UserError):
    code = "step.cores_unavailable"
    sentence = (
        "LATHE_CORES of this worker is {cores!r}, which cannot be right: {why} Once the operators have changed it, "
        "resume the session."
    )


# --- techniques (apps.agents.optimization and its backends) -----------------------------------------------------------


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
