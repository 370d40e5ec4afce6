"""Words that depend on a model's format."""

from __future__ import annotations

from django import template

from apps.agents.contracts.formats import (
    FORMATS,
    KERAS_FORMATS,
    Format,
    FormatSpec,
    Framework,
    format_spec,
    frameworks_said,
)
from apps.agents.techniques import compatibility

register = template.Library()


@register.filter
def format_label(name: str) -> str:
    """A format as people call it."""
    return compatibility.format_label(name)


@register.simple_tag
def known_formats() -> list[FormatSpec]:
    """Every format that a model may be uploaded in."""
    return list(FORMATS.values())


@register.simple_tag
def known_frameworks() -> str:
    """Where models may come from: `ONNX, PyTorch, TensorFlow or TensorFlow Lite`."""
    return frameworks_said()


@register.filter
def layer_word(name: str) -> str:
    """What the parts of a model in this format are called: `operators` of a graph, `layers` of Keras, `modules`."""
    if name in KERAS_FORMATS:
        return "layers"
    known = name in set(Format)
    return "modules" if known and format_spec(name).framework is Framework.TORCH else "operators"


@register.filter
def export_anchor(name: str) -> str:
    """How the ids of an export's part of a report begin; ONNX was there first and has the plain one."""
    return "exported" if name == Format.ONNX else f"exported-{name}"
