"""The modules that each framework's children have loaded when they start, in the order of import.

A library that starts threads on import, such as ONNX Runtime, cannot be here, because threads do not survive a fork.
"""

from __future__ import annotations

from collections.abc import Iterable

from apps.agents.contracts.formats import Framework

_HANDLERS = tuple(
    f"apps.agents.handlers.{name}"
    for name in ("analysis", "datasets", "evaluate", "inspection", "optimize", "package", "plan")
)
_LIGHT = (*_HANDLERS, "apps.agents.techniques.catalogue", "onnx")
_OF_FRAMEWORK: dict[Framework, tuple[str, ...]] = {
    # The package first: its switches must be set before the library is imported.
    Framework.TORCH: (
        "apps.agents.backends.torch",
        "torch.onnx",
        "torch._dynamo",
        "onnxscript",
        "apps.agents.backends.torch.analysis",
        "apps.agents.backends.torch.engine",
        "apps.agents.backends.torch.inspection",
        *_LIGHT,
    ),
    Framework.TENSORFLOW: (
        "apps.agents.backends.tensorflow",
        "apps.agents.backends.tensorflow.engine",
        "apps.agents.backends.tensorflow.analysis",
        "apps.agents.backends.tensorflow.inspection",
        *_LIGHT,
    ),
}


def modules_for(frameworks: Iterable[Framework]) -> tuple[str, ...]:
    """The modules that a job with models of `frameworks` needs in any case."""
    return next((_OF_FRAMEWORK[one] for one in frameworks if one in _OF_FRAMEWORK), _LIGHT)
