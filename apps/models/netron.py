"""Netron's page embedded in Lathe's: the package's markup with Lathe's start script instead of its own.

The original page queries another host for the visitor's country, reports usage to a third, and refuses to start half a
year after its release. `static/js/graph.js` starts the same viewer without any of that. Only the drawing part of the
page remains, and the policy below restricts it to this host in any case.
"""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path

from django.templatetags.static import static
from django.urls import reverse
from django.utils.html import format_html

from apps.agents.contracts.formats import Format
from apps.models.download import download_name
from apps.models.models import ModelVersion

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        # The page has inline styles, and the drawing sets style attributes.
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "worker-src 'self' blob:",
        "base-uri 'self'",
        "form-action 'none'",
        "frame-ancestors 'self'",
    )
)
DRAWN = frozenset({Format.ONNX, Format.TORCH_EXPORT, Format.TORCHSCRIPT})
_START = re.compile(r'<script type="text/javascript" src="index\.js"></script>')
_VERSION = re.compile(r'<meta name="version" content="[^"]*">')
_HEAD = re.compile(r"<head>")


class NetronChanged(RuntimeError):
    """The page of the installed Netron differs from the one this module was written for."""


def draws(version: ModelVersion) -> bool:
    """Whether Netron can draw the file, given its inspected format. It cannot draw a folder in an archive."""
    metadata = getattr(version, "metadata", None)
    return metadata is not None and metadata.format in DRAWN


def page(version: ModelVersion, node: str = "") -> str:
    """The page that draws the file of `version`, with the node called `node` shown first. Relative URLs refer to
    Netron's static files."""
    html = format_html(
        '<base href="{}"><meta name="model-url" content="{}"><meta name="model-name" content="{}">'
        '<meta name="model-node" content="{}">',
        static("vendor/netron/"),
        reverse("models:version-file", args=[version.model_id, version.number]),
        download_name(version),
        node,
    )
    return _markup().replace("<head>", f"<head>\n{html}", 1)


@cache
def _markup() -> str:
    """The package's page with Lathe's start script. Version 0.0.0 tells Netron that it is not the public site."""
    html = (_folder() / "index.html").read_text(encoding="utf-8")
    for pattern, replacement in (
        (_START, f'<script type="module" src="{static("js/graph.js")}"></script>'),
        (_VERSION, '<meta name="version" content="0.0.0">'),
        (_HEAD, "<head>"),
    ):
        html, count = pattern.subn(lambda _match, text=replacement: text, html)  # type: ignore[misc]
        if count != 1:
            raise NetronChanged(
                f"Netron's page has {count} matches for {pattern.pattern} instead of 1. Pin the previous version of "
                "Netron."
            )
    return html


def _folder() -> Path:
    """The installed package's folder, found without importing it."""
    spec = importlib.util.find_spec("netron")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("the package netron is not installed", name="netron")
    return Path(spec.submodule_search_locations[0])
