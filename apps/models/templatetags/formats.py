"""Filters for names that depend on a model's format."""

from __future__ import annotations

from django import template
from django.utils.translation import gettext

from apps.agents.contracts.formats import (
    FORMATS,
    KERAS_FORMATS,
    Format,
    FormatSpec,
    Framework,
    format_spec,
)
from apps.agents.techniques import compatibility
from apps.models import vocabulary

register = template.Library()


@register.filter
def format_label(name: str) -> str:
    """The display name of a format."""
    return compatibility.format_label(name)


@register.simple_tag
def known_formats() -> list[FormatSpec]:
    """Every format that a model may be uploaded in."""
    return list(FORMATS.values())


@register.simple_tag
def known_frameworks() -> str:
    """Where models may come from: `ONNX, PyTorch, TensorFlow or TensorFlow Lite`."""
    return vocabulary.frameworks()


@register.filter
def layer_word(name: str) -> str:
    """The name of the parts of a model in this format: `operators` of a graph, `layers` of Keras, `modules`."""
    if name in KERAS_FORMATS:
        return gettext("layers")
    known = name in set(Format)
    return gettext("modules" if known and format_spec(name).framework is Framework.TORCH else "operators")


@register.filter
def export_anchor(name: str) -> str:
    """The prefix of the ids of an export's section in a report. ONNX was the first format and has the plain prefix."""
    return "exported" if name == Format.ONNX else f"exported-{name}"
