"""PyTorch models and transformers folders that cannot be taken."""

from __future__ import annotations

from apps.errors import UserError


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
        "{file!r} is a pickle that contains more than weights: it asks for {wanted}, so it is not opened. Save the "
        "model's state dict alone, with torch.save or as safetensors."
    )


class StateDictExpected(UserError):
    code = "model.state_dict_expected"
    sentence = "{file!r} is not a state dict of named tensors: {found}. Save the model's state dict and nothing else."


class WeightsMissing(UserError):
    code = "model.weights_missing"
    sentence = "The archive has no weights: expected {names}."


class ShardsMissing(UserError):
    code = "model.shards_missing"
    sentence = "{index!r} names {count} files with weights, but these are not in the archive: {missing}."


class WeightsUnfit(UserError):
    code = "model.weights_unfit"
    sentence = "The weights do not fit the architecture {architecture}: {reason}."


class ConfigurationInvalid(UserError):
    code = "model.configuration_invalid"
    sentence = "The folder's {file} cannot be used: {reason}."


class RemoteCode(UserError):
    code = "model.remote_code"
    sentence = (
        "The folder's config.json refers to its own code by an automatic mapping ({names}), which is never run. Use a"
        " model whose class transformers has, or upload the weights with a lathe.toml and the Python file."
    )


class ArchitectureUnsupported(UserError):
    code = "model.architecture_unsupported"
    sentence = "The architecture {architecture!r} is not supported: {reason}."


class ArchitectureMissing(UserError):
    code = "model.architecture_missing"
    sentence = (
        "This is {found}: weights without the network they belong to. Upload a zip of it with a lathe.toml that has "
        'architecture = "name" of an installed package (or file = "model.py" and factory = "build") and an [[input]] '
        "with name, dtype and shape; or save the model with torch.export.save."
    )


class ArchitectureUnknown(UserError):
    code = "model.architecture_unknown"
    sentence = (
        "No installed package offers the architecture {architecture!r}. Known: {known}. Or include the code: file = "
        '"model.py" and factory = "build" in lathe.toml.'
    )


class DescriptionInvalid(UserError):
    code = "model.description_invalid"
    sentence = (
        "The archive's lathe.toml cannot be used: {reason}. It needs an architecture, or a file and a factory, and an"
        ' [[input]] such as name = "image", dtype = "float32", shape = ["batch", 3, 224, 224] for each input.'
    )


class FactoryFailed(UserError):
    code = "model.factory_failed"
    sentence = "The model cannot be built by {factory}: {reason}."


class OutputsUnknown(UserError):
    code = "model.outputs_unknown"
    sentence = (
        "Running the model once to find its outputs failed: {reason}. Check the inputs in lathe.toml, or declare each"
        " output with an [[output]] table."
    )


class OutputsReturned(UserError):
    code = "model.outputs_returned"
    sentence = (
        "The model returned {found}, but lathe.toml declares {wanted}. Correct the [[output]] tables in lathe.toml, "
        "or leave them out; then the model is run once to find out."
    )


class ProgramUnsupported(UserError):
    code = "model.program_unsupported"
    sentence = "The exported program cannot be used: {reason}."


class ProgramCode(UserError):
    code = "model.program_code"
    sentence = "The archive is refused: {reason}. A program may contain only operators on tensors and plain weights."


class ScriptTouchesFiles(UserError):
    code = "model.script_touches_files"
    sentence = "The archive's script calls {operator} ({file}): it reads or writes files, so it is refused."


class ScriptInterface(UserError):
    code = "model.script_interface"
    sentence = (
        "A scripted archive does not declare its inputs, and they cannot be derived from the first layer ({reason}). "
        "Save it with torch.jit.save and an extra file lathe.toml that has an [[input]] with name, dtype and shape "
        "for each input."
    )


class TokenizerBroken(UserError):
    code = "model.tokenizer_broken"
    sentence = "The folder's tokenizer cannot be opened: {reason}."
