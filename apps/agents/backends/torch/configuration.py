"""`config.json` of a transformers folder, and the size of the model that it requests.

The library trusts the file: it follows keys to other files, and builds as many layers as requested.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from torch.nn.modules.module import register_module_module_registration_hook

from apps.agents.backends.torch import quantized
from apps.agents.backends.torch.opening import CONFIGURATION
from apps.agents.contracts.errors.torch_models import ConfigurationInvalid, RemoteCode

MOST_MODULES = 500_000
"""A model of 60 layers with 256 experts has a tenth of this."""
_ELSEWHERE = ("configuration_files", "transformers_weights")
"""With these keys, the library reads other files than those that were checked."""
_WIDEST_BITS = 64


def read_settings(folder: Path) -> Mapping[str, Any]:
    """The file's contents. Raises `ConfigurationInvalid` and `RemoteCode`."""
    try:
        settings = json.loads((folder / CONFIGURATION).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationInvalid(file=CONFIGURATION, reason=brief(error)) from error
    if not isinstance(settings, dict):
        raise ConfigurationInvalid(file=CONFIGURATION, reason="it is not a JSON object")
    if mapped := settings.get("auto_map"):
        raise RemoteCode(names=", ".join(map(str, mapped)) if isinstance(mapped, dict | list) else str(mapped))
    if reason := _strange(settings):
        raise ConfigurationInvalid(file=CONFIGURATION, reason=reason)
    return settings


@contextmanager
def bounded() -> Iterator[None]:
    """Raise `ValueError` in code that builds more modules than any real model has."""
    built = count(1)

    def stop(*_: object) -> None:
        if next(built) > MOST_MODULES:
            raise ValueError(f"it asks for more than {MOST_MODULES:,} modules")

    hook = register_module_module_registration_hook(stop)
    try:
        yield
    finally:
        hook.remove()


def brief(error: Exception) -> str:
    return " ".join(str(error).split())[:400].rstrip(". ") or type(error).__name__


def _strange(settings: Mapping[str, Any]) -> str | None:
    for key in _ELSEWHERE:
        if key in settings:
            return f"{key} names other files, but only the usual ones are read; remove it"
    architectures = settings.get("architectures")
    if architectures is not None and not (
        isinstance(architectures, list) and all(isinstance(name, str) for name in architectures)
    ):
        return "architectures is not a list of names"
    try:
        quantized.describe(settings)
        bits = quantized.bits_of(settings)
    except (AttributeError, TypeError, ValueError):
        return "quantization_config does not have a known form"
    if bits is not None and not 1 <= bits <= _WIDEST_BITS:
        return f"quantization_config declares {bits} bits"
    return None
