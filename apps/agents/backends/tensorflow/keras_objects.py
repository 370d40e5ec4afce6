"""Checks the objects that a Keras configuration names, before Keras creates any of them.

A configuration is JSON in which every object declares its class and origin. Keras' own objects are accepted, except
those that run code, load programs or read files when they are created or called. The compile configuration is not
checked, because it is never used.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from apps.agents.contracts.errors.tensorflow_models import KerasCustomObjects, KerasLambda, KerasUnsafe

_PACKAGES = frozenset(
    (
        *("activations", "constraints", "dtype_policies", "initializers", "layers", "losses", "metrics", "models"),
        *("ops", "optimizers", "quantizers", "random", "regularizers"),
    )
)
"""Packages of `keras` and of `keras.src`. `engine` contained tf_keras' models, `mixed_precision` its policies."""
_INSIDE = _PACKAGES | {"engine", "mixed_precision"}
_LIBRARIES = ("keras", "tf_keras")
_OF_FUNCTIONS = frozenset(("activations", "constraints", "initializers", "losses", "metrics", "ops", "regularizers"))
"""Packages whose functions only compute; `keras.models` is not one, because it has `load_model`."""
_PLAIN = frozenset(
    (
        *("__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__keras_tensor__", "__tuple__", "__slice__"),
        *("TensorShape", "TypeSpec", "CompositeTensor"),
    )
)
"""Keras' notation for plain values."""
_UNNAMED = "__lambda__"
_LAMBDAS = frozenset(("Lambda", _UNNAMED))
_CODE_PARTS = 3
"""A function without a name is stored as base 64 byte code, defaults and closure."""
_FUNCTION_ELSEWHERE = "calls a function that is not in the file"
_BYTE_CODE = "may hold a Python function as byte code"
_LOADERS = {
    "TFSMLayer": "loads a SavedModel from a path",
    "TorchModuleWrapper": "unpickles a PyTorch module",
    "JaxLayer": _FUNCTION_ELSEWHERE,
    "FlaxLayer": _FUNCTION_ELSEWHERE,
    "TensorFlowOpLayer": "runs any operator of TensorFlow by its name",
    "__typespec__": "makes any type of TensorFlow by its name",
    "ResidualWrapper": _BYTE_CODE,
    "DropoutWrapper": _BYTE_CODE,
    "ClassMethod": "calls any method of TensorFlow by its name",
    "InstanceMethod": "calls any method of a tensor by its name",
}
_BY_NAME = frozenset(("TFOpLambda", "SlicingOpLambda"))
"""tf_keras' notation for a call of a TensorFlow function: both classes call whichever function they name."""
_PROPERTY = "InstanceProperty"
_HARMLESS_PROPERTIES = frozenset(("values", "flat_values", "row_splits", "nested_row_splits", "shape", "dtype"))
_HARMLESS_FUNCTIONS = re.compile(
    r"nn\.(?!fixed_unigram_candidate_sampler$)[a-z]\w*|(?:compat\.v1\.)?(?:"
    r"(?:math|linalg|signal|strings)\.[a-z]\w*|math\.special\.[a-z]\w*|__operators__\.[a-z]\w*|"
    r"keras\.backend\.(?:abs|all|any|argmax|argmin|batch_dot|batch_flatten|bias_add|cast|clip|concatenate|cos|cumprod|"
    r"cumsum|dot|elu|equal|exp|expand_dims|flatten|gather|greater|greater_equal|hard_sigmoid|l2_normalize|less|"
    r"less_equal|log|max|maximum|mean|min|minimum|not_equal|one_hot|ones_like|permute_dimensions|pow|prod|relu|repeat|"
    r"repeat_elements|reshape|resize_images|reverse|round|shape|sigmoid|sign|sin|softmax|softplus|softsign|sqrt|square|"
    r"squeeze|stack|std|stop_gradient|sum|switch|tanh|tile|transpose|var|zeros_like)|"
    r"image\.(?:resize\w*|crop\w*|pad\w*|per_image_standardization|rgb_to_\w+|grayscale_to_rgb|flip\w*)|"
    r"reduce_\w+|shape(?:_n)?|identity(?:_n)?|cast|clip_by_value|concat|expand_dims|one_hot|ones_like|zeros_like|"
    r"ones|zeros|fill|range|rank|size|reshape|split|squeeze|stack|unstack|tile|transpose|where|gather|gather_nd|"
    r"boolean_mask|broadcast_to|convert_to_tensor|constant|einsum|pad|repeat|reverse|roll|sequence_mask|slice|"
    r"strided_slice|sort|argsort|stop_gradient|tensordot|norm|eye|meshgrid"
    r")"
)
"""Functions that compute on tensors. `nn.fixed_unigram_candidate_sampler` takes a path of a vocabulary, and other
functions of `keras.backend` change settings of the process."""
_FILES = ("vocabulary", "idf_weights")
"""Arguments of preprocessing layers that are lists, or paths that the layer reads when it is created."""
_COMPILED = "compile_config"
"""The model's own compile configuration is never used. That of an inner model would be."""
_FUNCTION = "function"
_MOST_NAMED = 12
_LONGEST_SHOWN = 120


@dataclass(frozen=True)
class Described:
    """One object of a configuration."""

    kind: str
    module: str | None
    registered: str | None
    config: Any
    owner: str | None = None
    """The name of the object that it is a part of, such as the layer whose activation it is."""

    @property
    def name(self) -> str:
        """A layer's own name, else its class. A function without a name is named after its owner."""
        if self.kind == _UNNAMED:
            return self.owner or self.kind
        return _name_in(self.config) or self.kind


def judge_objects(config: dict[str, Any], *, legacy: bool) -> None:
    """Raise `KerasLambda`, `KerasUnsafe` and `KerasCustomObjects`, each with all names found.

    A `legacy` configuration does not name modules, so classes that are not Keras' own can only be found by comparison
    with Keras (`custom_classes`).
    """
    objects = list(described(_made(config)))
    if lambdas := [one.name for one in objects if one.kind in _LAMBDAS]:
        raise KerasLambda(layers=_listed(lambdas))
    for one in objects:
        if reason := _unsafe(one):
            raise KerasUnsafe(layer=shown(one.name), reason=reason)
    if custom := [name for one in objects if (name := _custom(one, legacy=legacy))]:
        raise KerasCustomObjects(names=_listed(custom))


def refuse_unknown(config: dict[str, Any], known: Iterable[str]) -> None:
    """Raise `KerasCustomObjects` with all classes of a configuration that are not `known`.

    Modules of Keras contain more than layers, and legacy configurations do not name modules, so only known names of
    model parts may be created.
    """
    if custom := custom_classes(_made(config), known):
        raise KerasCustomObjects(names=_listed(custom))


def custom_classes(config: dict[str, Any], known: Iterable[str]) -> list[str]:
    """Classes of a configuration that are not `known`, each once."""
    names = set(known) | _PLAIN
    kinds = (one.kind for one in described(config) if one.kind != _FUNCTION)
    return list(dict.fromkeys(kind.rpartition(">")[2] for kind in kinds if kind not in names))


def _made(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration without the parts that are not used."""
    return {key: value for key, value in config.items() if key != _COMPILED}


def described(config: Any) -> Iterator[Described]:
    """Every object below `config`, without recursion, because the nesting is untrusted."""
    left: list[tuple[Any, str | None]] = [(config, None)]
    while left:
        value, owner = left.pop()
        if isinstance(value, list):
            left += ((inner, owner) for inner in reversed(value))
        elif isinstance(value, dict):
            if isinstance(value.get("class_name"), str):
                module, registered = value.get("module"), value.get("registered_name")
                yield Described(
                    value["class_name"],
                    module if isinstance(module, str) else None,
                    registered if isinstance(registered, str) else None,
                    value.get("config"),
                    owner,
                )
            elif _is_byte_code(value):
                yield Described(_UNNAMED, None, None, None, owner)
            named = _name_in(value) or owner
            left += ((inner, named) for inner in reversed(value.values()))


def _is_byte_code(value: dict[str, Any]) -> bool:
    parts = value.get("value")
    return isinstance(parts, list) and len(parts) == _CODE_PARTS and isinstance(parts[0], str) and len(value) == 1


def _name_in(config: Any) -> str | None:
    name = config.get("name") if isinstance(config, dict) else None
    return name if isinstance(name, str) else None


def _unsafe(one: Described) -> str | None:
    if one.kind in _LOADERS:
        return _LOADERS[one.kind]
    config = one.config if isinstance(one.config, dict) else {}
    if one.kind in _BY_NAME and not _HARMLESS_FUNCTIONS.fullmatch(_word(config.get("function"))):
        return f"calls TensorFlow's function {shown(_word(config.get('function')))!r}"
    if one.kind == _PROPERTY and _word(config.get("attr_name")) not in _HARMLESS_PROPERTIES:
        return f"reads a tensor's attribute {shown(_word(config.get('attr_name')))!r}"
    for argument in _FILES:
        value = config.get(argument)
        if isinstance(value, str):
            return f"reads the file {shown(value)!r}"
        if isinstance(value, dict) and value.get("class_name") == "__bytes__":
            return f"may read a file: its {argument} is neither a list nor left out"
    return None


def _custom(one: Described, *, legacy: bool) -> str | None:
    """The name of an object that is not Keras' own; `None` for one that is."""
    if one.kind in _PLAIN:
        return None
    if one.kind == _FUNCTION:
        name = _word(one.config)
        own = one.module is not None and _is_keras(one.module, _OF_FUNCTIONS) and name.isidentifier()
        return None if own and one.registered in (None, _FUNCTION, name) else name.rpartition(">")[2]
    if (one.module is None and not legacy) or one.registered not in (None, one.kind):
        return (one.registered or one.kind).rpartition(">")[2]
    if not one.kind.isidentifier():
        return one.kind.rpartition(">")[2]
    return None if one.module is None or _is_keras(one.module, _PACKAGES) else f"{one.module}.{one.kind}"


def _is_keras(module: str, packages: frozenset[str]) -> bool:
    """Whether `module` is Keras itself, one of its public `packages`, or below one of them in its source."""
    parts = module.split(".")
    if parts[0] not in _LIBRARIES or not all(part.isidentifier() for part in parts):
        return False
    if len(parts) == 1:
        return packages is _PACKAGES
    inside = _INSIDE if packages is _PACKAGES else packages
    return parts[1] in packages if parts[1] != "src" else len(parts) > 2 and parts[2] in inside


def shown(text: str) -> str:
    """Untrusted text, shortened for a sentence."""
    return text[:_LONGEST_SHOWN]


def _word(value: object) -> str:
    """A name, or empty if the JSON has something else there."""
    return value if isinstance(value, str) else type(value).__name__


def _listed(names: Iterable[str]) -> str:
    unique = list(dict.fromkeys(names))
    more = f" and {len(unique) - _MOST_NAMED} more" if len(unique) > _MOST_NAMED else ""
    return ", ".join(shown(name) for name in unique[:_MOST_NAMED]) + more
