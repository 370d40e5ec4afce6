"""The model formats, with the dotted paths of the code that handles each of them.

It imports no heavy library, because pages, serializers and the planner read it. The dotted paths, `module:name`, are
imported on first use, and only in the child process.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from apps.agents.contracts.values import Value


class Framework(StrEnum):
    """What runs a model. PyTorch and TensorFlow are never imported in one process; the others go with any."""

    ONNX = "onnx"
    TORCH = "torch"
    TENSORFLOW = "tensorflow"
    LITERT = "litert"

    @property
    def label(self) -> str:
        """The name to show."""
        return {"onnx": "ONNX", "torch": "PyTorch", "tensorflow": "TensorFlow", "litert": "TensorFlow Lite"}[self]


class Format(StrEnum):
    """The values are stored in rows and used in jobs and the API."""

    ONNX = "onnx"
    TORCH_EXPORT = "torch-export"
    TORCHSCRIPT = "torchscript"
    TRANSFORMERS = "transformers"
    STATE_DICT = "state-dict"
    KERAS = "keras"
    KERAS_H5 = "keras-h5"
    SAVED_MODEL = "saved-model"
    TFLITE = "tflite"


class FormatSpec(Value):
    format: Format
    framework: Framework
    label: str
    runtime: str
    """The name to show of the runtime that runs it."""
    suffix: str
    """The suffix of a stored model's file, with the dot."""
    upload: str
    """What a member uploads, with its file types: `a SavedModel folder (.zip)`."""
    origin: str
    """Where such a file comes from, in a sentence."""
    written_by: str
    """How such a file is written, as Markdown for the documentation."""
    engine: str
    """`apps.agents.measuring.engine.Engine`."""
    analysis_engine: str
    """`apps.agents.analysis.engine.AnalysisEngine`."""
    inspector: str
    """A function `(model, scratch, *, limit_bytes) -> ModelSummary`."""
    script: str
    """The script that runs a packaged model, relative to `apps/agents/backends`."""
    libraries: tuple[str, ...]
    """The distributions that the script needs."""
    as_litert: str | None = None
    """A function `(model, folder, signature) -> Path` that exports such a model to TensorFlow Lite, to count its size;
    `None` if there is none."""


def _torch(
    format: Format,  # noqa: A002
    label: str,
    suffix: str,
    upload: str,
    origin: str,
    written_by: str,
    libraries: tuple[str, ...],
) -> FormatSpec:
    return FormatSpec(
        format=format,
        framework=Framework.TORCH,
        label=label,
        runtime="PyTorch",
        suffix=suffix,
        upload=upload,
        origin=origin,
        written_by=written_by,
        engine="apps.agents.backends.torch.engine:TorchEngine",
        analysis_engine="apps.agents.backends.torch.analysis:TorchAnalysisEngine",
        inspector="apps.agents.backends.torch.inspection:inspect",
        script="torch/run.py",
        libraries=libraries,
    )


def _tensorflow(
    format: Format,  # noqa: A002
    label: str,
    suffix: str,
    upload: str,
    origin: str,
    written_by: str,
) -> FormatSpec:
    return FormatSpec(
        format=format,
        framework=Framework.TENSORFLOW,
        label=label,
        runtime="TensorFlow",
        suffix=suffix,
        upload=upload,
        origin=origin,
        written_by=written_by,
        engine="apps.agents.backends.tensorflow.engine:TensorFlowEngine",
        analysis_engine="apps.agents.backends.tensorflow.analysis:TensorFlowAnalysisEngine",
        inspector="apps.agents.backends.tensorflow.inspection:inspect",
        script="tensorflow/run.py",
        libraries=("numpy", "tensorflow", "keras"),
        as_litert="apps.agents.backends.tensorflow.litert_size:as_litert",
    )


FORMATS: dict[Format, FormatSpec] = {
    spec.format: spec
    for spec in (
        FormatSpec(
            format=Format.ONNX,
            framework=Framework.ONNX,
            label="ONNX",
            runtime="ONNX Runtime",
            suffix=".onnx",
            upload="an ONNX model (.onnx, or a .zip of it and its external data)",
            origin="From any exporter: the file alone, or in an archive with its external data.",
            written_by="`torch.onnx.export`, or any other exporter",
            engine="apps.agents.backends.onnx.engine:OnnxEngine",
            analysis_engine="apps.agents.backends.onnx.analysis:OnnxAnalysisEngine",
            inspector="apps.agents.backends.onnx.inspection:inspect",
            script="onnx/run.py",
            libraries=("numpy", "onnxruntime"),
        ),
        _torch(
            Format.TORCH_EXPORT,
            "PyTorch exported program",
            ".pt2",
            "a PyTorch exported program (.pt2)",
            "From torch.export.save.",
            '`torch.export.save(torch.export.export(model, example), "model.pt2")`',
            ("numpy", "torch"),
        ),
        _torch(
            Format.TORCHSCRIPT,
            "TorchScript",
            ".pt",
            "a TorchScript archive (.pt)",
            "From torch.jit.save.",
            '`torch.jit.save(torch.jit.trace(model, example), "model.pt")`',
            ("numpy", "torch"),
        ),
        _torch(
            Format.TRANSFORMERS,
            "transformers folder",
            ".zip",
            "a transformers folder (.zip)",
            "From save_pretrained: config.json, weights, and the tokenizer's files if it reads texts.",
            "`model.save_pretrained(folder)` and `tokenizer.save_pretrained(folder)`, then zip the folder",
            ("numpy", "torch", "transformers"),
        ),
        _torch(
            Format.STATE_DICT,
            "PyTorch state dict with its architecture",
            ".zip",
            "weights with a lathe.toml (.zip)",
            "A state dict with a lathe.toml that names its architecture, or the Python file that builds it.",
            "a state dict (`.safetensors`, or `.pt` of `model.state_dict()`) and a `lathe.toml`, zipped",
            ("numpy", "torch"),
        ),
        _tensorflow(
            Format.KERAS, "Keras", ".keras", "a Keras model (.keras)", "From model.save.", '`model.save("model.keras")`'
        ),
        _tensorflow(
            Format.KERAS_H5,
            "Keras HDF5",
            ".h5",
            "a Keras HDF5 model (.h5)",
            "From older Keras.",
            '`model.save("model.h5")` of older Keras; what Keras 3 cannot read is read with tf_keras',
        ),
        _tensorflow(
            Format.SAVED_MODEL,
            "TensorFlow SavedModel",
            ".zip",
            "a SavedModel folder (.zip)",
            "From model.export or tf.saved_model.save: the whole folder, with its variables.",
            '`model.export("folder")`, or `tf.saved_model.save(module, "folder", signatures=…)`, then zip the folder',
        ),
        FormatSpec(
            format=Format.TFLITE,
            framework=Framework.LITERT,
            label="TensorFlow Lite",
            runtime="LiteRT",
            suffix=".tflite",
            upload="a TensorFlow Lite model (.tflite)",
            origin="From any converter, with one signature, several or none.",
            written_by="any converter; TensorFlow's own operators (`SELECT_TF_OPS`) are refused by name, because "
            "LiteRT does not have them",
            engine="apps.agents.backends.litert.engine:LiteRtEngine",
            analysis_engine="apps.agents.backends.litert.analysis:LiteRtAnalysisEngine",
            inspector="apps.agents.backends.litert.inspection:inspect",
            script="litert/run.py",
            libraries=("numpy", "ai-edge-litert"),
        ),
    )
}

LITERT_SIZED = frozenset(
    spec.format for spec in FORMATS.values() if spec.format is Format.TFLITE or spec.as_litert is not None
)
"""The formats of models whose size as TensorFlow Lite can be counted."""

TORCH_FORMATS = tuple(spec.format for spec in FORMATS.values() if spec.framework is Framework.TORCH)

TENSORFLOW_FORMATS = tuple(spec.format for spec in FORMATS.values() if spec.framework is Framework.TENSORFLOW)
KERAS_FORMATS = (Format.KERAS, Format.KERAS_H5)


def frameworks_in_words() -> str:
    """The frameworks of models that can be uploaded: `ONNX, PyTorch, … or TensorFlow Lite`."""
    *most, last = dict.fromkeys(spec.framework.label for spec in FORMATS.values())
    return f"{', '.join(most)} or {last}"


def uploads_in_words(formats: Iterable[Format] = tuple(FORMATS)) -> str:
    """What can be uploaded, for a sentence: `a TorchScript archive (.pt), … or a TensorFlow Lite model (.tflite)`."""
    *most, last = (FORMATS[one].upload for one in formats)
    return f"{', '.join(most)} or {last}" if most else last


def format_spec(name: str) -> FormatSpec:
    """The specification of the format `name`. Raises `ValueError` for an unknown one."""
    return FORMATS[Format(name)]
