"""What each framework's children have loaded when they start. The names are imported in the order given.

A library that starts threads when it is imported cannot be here, because a fork has none of them: ONNX Runtime does.
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
