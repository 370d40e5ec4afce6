"""What agents call formats of models, in the reader's language.

Agents know nothing of languages, so their words are marked for the catalogues here. A word without a translation,
such as that of a new format, is shown as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from apps.agents.contracts.formats import FORMATS

WORDS = (
    _("an ONNX model (.onnx, or a .zip of it and its external data)"),
    _("From any exporter: the file alone, or in an archive with its external data."),
    _("a PyTorch exported program (.pt2)"),
    _("From torch.export.save."),
    _("a TorchScript archive (.pt)"),
    _("From torch.jit.save."),
    _("a transformers folder (.zip)"),
    _("From save_pretrained: config.json, weights, and the tokenizer's files if it reads texts."),
    _("weights with a lathe.toml (.zip)"),
    _("A state dict with a lathe.toml that names its architecture, or the Python file that builds it."),
    _("a Keras model (.keras)"),
    _("From model.save."),
    _("a Keras HDF5 model (.h5)"),
    _("From older Keras."),
    _("a SavedModel folder (.zip)"),
    _("From model.export or tf.saved_model.save: the whole folder, with its variables."),
    _("a TensorFlow Lite model (.tflite)"),
    _("From any converter, with one signature, several or none."),
    _("layers"),
    _("modules"),
    _("operators"),
)


def uploads() -> str:
    """What can be uploaded, for a sentence."""
    return alternatives([gettext(spec.upload) for spec in FORMATS.values()])


def frameworks() -> str:
    """Where models may come from: `ONNX, PyTorch, TensorFlow or TensorFlow Lite`."""
    return alternatives(list(dict.fromkeys(spec.framework.label for spec in FORMATS.values())))


def alternatives(words: Sequence[str]) -> str:
    """`one, another or a third`."""
    *most, last = words
    return gettext("{most} or {last}").format(most=", ".join(most), last=last) if most else last
