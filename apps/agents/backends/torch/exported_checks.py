"""Checks the strings in an exported program before PyTorch's loader interprets them.

The loader turns names into Python source and compiles it, looks up operators by dotted paths from `torch`, imports
names in descriptions of containers, and evaluates expressions. A program of tensor operators does not need that
freedom.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch

NAMES = frozenset(("name", "as_name"))
"""Keys whose values become variables and arguments of generated source."""
_IDENTIFIER = re.compile(r"([A-Za-z_][\w.]*)?")
_UNQUOTED = re.compile(r"[^\"\\\x00-\x1f\x7f]*")
"""Text that cannot end the quotes around it."""
_TRACES = frozenset(("stack_trace", "from_node", "source_fn_stack", "torch_fn", "custom"))
_NAMESPACE = re.compile(r"torch\.ops\.(aten|prims|higher_order|quantized|quantized_decomposed|torchao)\.\w+(\.\w+)?")
_SCALARS = re.compile(
    r"_operator\.(add|sub|mul|floordiv|truediv|mod|pow|neg|pos|eq|ne|lt|le|gt|ge|and_|or_|not_|getitem)"
    r"|math\.[a-z]\w*|torch\.(sym_[a-z]\w*|_sym_[a-z]\w*)"
)
_FILES = re.compile(r"torch\.ops\.\w+\.(from_file|save|load)")
_HIGHER_ORDER = frozenset(
    (
        *("cond", "while_loop", "map_impl", "scan", "associative_scan", "invoke_subgraph"),
        *("wrap_with_set_grad_enabled", "wrap_with_autocast", "flex_attention", "auto_functionalized"),
        "auto_functionalized_v2",
    )
)
"""Operators that only call the program's own graphs."""
_CONTAINERS = re.compile(r"builtins\.(tuple|list|dict)|collections\.OrderedDict|transformers\.modeling_outputs\.\w+")


def forbidden_part(program: Mapping[str, Any]) -> str | None:
    """The first thing in `program` other than operators, tensors and names; `None` if there is none."""
    return next(_forbidden(program), None)


def is_operator(target: str) -> bool:
    """Whether `target` is an operator on tensors or numbers that neither reads nor writes files."""
    if _SCALARS.fullmatch(target):
        return True
    if not _NAMESPACE.fullmatch(target) or _FILES.match(target):
        return False
    found: Any = torch
    for name in target.split(".")[1:]:
        found = getattr(found, name, None)
    if isinstance(found, torch._ops.HigherOrderOperator):
        return found.name() in _HIGHER_ORDER
    return isinstance(found, torch._ops.OpOverload)


def _forbidden(program: Mapping[str, Any]) -> Iterator[str]:
    for entry in _mappings(program):
        for key, value in entry.items():
            if key == "nodes" and isinstance(value, list):
                yield from (_called(node.get("target")) for node in value if not _calls_operator(node))
            elif key == "as_operator" and not is_operator(str(value)):
                yield _called(value)
            elif key in ("in_spec", "out_spec") and not _is_plain_spec(value):
                yield f"its {key} is {str(value)[:80]!r}, but only tuples, lists and dictionaries of names are accepted"
            elif key == "forward_arg_names" or key in NAMES or key.endswith("_name"):
                yield from _strange_names(key, value)
            elif key == "nn_module_stack" and not _UNQUOTED.fullmatch(str(value)):
                yield f"its {key} is {str(value)[:80]!r}"


def _calls_operator(node: Mapping[str, Any]) -> bool:
    return is_operator(str(node.get("target")))


def _called(target: object) -> str:
    return f"it calls {str(target)[:80]}"


def _strange_names(key: str, value: Any) -> Iterator[str]:
    """Names in generated source must be identifiers. Names of weights are quoted there."""
    wanted = _IDENTIFIER if key in NAMES or key == "forward_arg_names" else _UNQUOTED
    for name in value if isinstance(value, list) else [value]:
        if name is not None and not (isinstance(name, str) and wanted.fullmatch(name)):
            yield f"a name in it is {str(name)[:80]!r}"


def _mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    """Every mapping at any depth, except traces that are only informative."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            yield item
            waiting += (inner for key, inner in item.items() if key not in _TRACES)
        elif isinstance(item, list):
            waiting += item


def _is_plain_spec(text: Any) -> bool:
    """Whether a description of containers, in pytree's form, names none that PyTorch would have to import."""
    try:
        return text in ("", None) or _is_plain_node(json.loads(text)[1])
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return False


def _is_plain_node(node: Mapping[str, Any]) -> bool:
    kind, context = node["type"], node["context"]
    if kind is not None and not _CONTAINERS.fullmatch(kind):
        return False
    keys = json.loads(context) if isinstance(context, str) else context
    named = keys is None or (isinstance(keys, list) and all(_is_key(key) for key in keys))
    return named and all(_is_plain_node(child) for child in node["children_spec"])


def _is_key(key: Any) -> bool:
    return isinstance(key, int) or (isinstance(key, str) and _IDENTIFIER.fullmatch(key) is not None)
