"""A `.pt2` archive read from its JSON: interface, operators and weights, without PyTorch's loader.

The loader evaluates expressions and unpickles data as the archive demands. `check_harmless` refuses both before the
loader runs: shapes may contain only arithmetic, and weights only plain bytes. The loader then receives the output of
`write_plain`.
"""

from __future__ import annotations

import ast
import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from apps.agents.backends.torch import pickles
from apps.agents.backends.torch.exported_checks import forbidden_part
from apps.agents.backends.torch.stored import Place, StoredTensor
from apps.agents.contracts.errors.torch_models import ProgramCode, ProgramUnsupported
from apps.agents.contracts.reports.model import TensorSpec
from apps.agents.files.archives import DAMAGE

LONGEST_FILE_BYTES = 256 * 1024 * 1024
_TYPES = {
    1: "uint8",
    2: "int8",
    3: "int16",
    4: "int32",
    5: "int64",
    6: "float16",
    7: "float32",
    8: "float64",
    9: "complex32",
    10: "complex64",
    11: "complex128",
    12: "bool",
    13: "bfloat16",
    28: "uint16",
    29: "float8e4m3fn",
    30: "float8e5m2",
    31: "float8e4m3fnuz",
    32: "float8e5m2fnuz",
}
"""The numbers of `torch._export.serde.schema.ScalarType`."""
_CALLS = frozenset(
    (
        *("Symbol", "Integer", "Float", "Rational", "Add", "Mul", "Pow", "Max", "Min", "Abs", "Mod", "floor", "sqrt"),
        *("ceiling", "Equality", "Eq", "Unequality", "Ne", "LessThan", "Le", "GreaterThan", "Ge", "StrictLessThan"),
        *("Lt", "Not", "StrictGreaterThan", "Gt", "And", "Or", "FloorDiv", "ModularIndexing", "Where", "PythonMod"),
        *("CleanDiv", "CeilToInt", "FloorToInt", "CeilDiv", "LShift", "RShift", "PowByNatural", "FloatPow"),
        *("FloatTrueDiv", "IntTrueDiv", "TruncToFloat", "TruncToInt", "RoundToInt", "RoundDecimal", "ToFloat"),
        "Identity",
    )
)
_MAPPINGS = ("builtins.dict", "collections.OrderedDict", "transformers.modeling_outputs.")
_PAYLOADS = ("weights", "constants")
_NOTES = frozenset(("metadata", "guards_code"))
_TEXT = r"\w{1,40}|[\d.e+-]+"
"""A symbol's name, or the digits of a float."""
_ARITHMETIC = (
    *(ast.Expression, ast.BinOp, ast.UnaryOp, ast.Compare, ast.BoolOp, ast.operator, ast.unaryop, ast.cmpop),
    *(ast.boolop, ast.keyword, ast.Load),
)


@dataclass(frozen=True)
class ExportedArchive:
    """One program. Every property raises `ProgramUnsupported` if the archive is incomplete."""

    path: Path

    @cached_property
    def names(self) -> dict[str, str]:
        """The archive's files by their names without its root folder."""
        try:
            with zipfile.ZipFile(self.path) as archive:
                return {name.partition("/")[2]: name for name in archive.namelist()}
        except DAMAGE as error:
            raise ProgramUnsupported(reason=f"the archive cannot be read ({error})") from error

    @cached_property
    def program(self) -> dict[str, Any]:
        models = [name for name in self.names if re.fullmatch(r"models/\w+\.json", name)]
        if any(name.startswith("serialized_exported_program") for name in (*self.names, *self.names.values())):
            raise ProgramUnsupported(reason="it was written by an old PyTorch; save it again with 2.9 or newer")
        if len(models) != 1:
            raise ProgramUnsupported(reason=f"the archive contains {len(models)} programs, but must contain one")
        return self._json(models[0])

    @cached_property
    def weights(self) -> dict[str, StoredTensor]:
        """Parameters, buffers and constant tensors, by name."""
        try:
            return {
                name: self._weight(kind, entry)
                for kind in _PAYLOADS
                for name, entry in self._payloads(kind)
                if entry.get("tensor_meta")
            }
        except (KeyError, TypeError, ValueError) as error:
            raise ProgramUnsupported(reason=f"its list of weights does not have PyTorch's form ({error})") from error

    @cached_property
    def program_bytes(self) -> int:
        """Size of the program as JSON, without the records of where each operator came from."""
        return len(json.dumps(_without_notes(self.program), separators=(",", ":")))

    @cached_property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """A free first axis is called `batch`; other free axes have the program's names."""
        specs = self._graph["signature"]["input_specs"]
        return tuple(self._tensor(spec["user_input"]["arg"]) for spec in specs if "user_input" in spec)

    @cached_property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Named by the keys of the mapping that the program returns, or by the program's own names."""
        specs = self._graph["signature"]["output_specs"]
        tensors = [self._tensor(spec["user_output"]["arg"]) for spec in specs if "user_output" in spec]
        keys = _keys(self._spec("out_spec"))
        if keys is not None and len(keys) == len(tensors):
            return tuple(spec.model_copy(update={"name": key}) for spec, key in zip(tensors, keys, strict=True))
        return tuple(tensors)

    @property
    def call(self) -> tuple[int, list[str]] | None:
        """How many inputs are positional, and the names of the others; `None` if inputs are nested."""
        spec = self._spec("in_spec")
        try:
            args, kwargs = spec["children_spec"]
            if any(child.get("type") for child in (*args["children_spec"], *kwargs["children_spec"])):
                return None
            return len(args["children_spec"]), list(_keys(kwargs) or ())
        except (KeyError, TypeError, ValueError) as error:
            raise ProgramUnsupported(reason=f"its call does not have PyTorch's form ({error})") from error

    @cached_property
    def operators(self) -> dict[str, int]:
        """By the operator's name without its overload, such as `aten.conv2d`."""
        targets = (str(node["target"]) for node in self._graph["graph"]["nodes"])
        short = (re.sub(r"^torch\.ops\.|\.default$", "", target) for target in targets)
        return dict(sorted(Counter(re.sub(r"^(\w+\.\w+)\.\w+$", r"\1", name) for name in short).items()))

    @property
    def version(self) -> str:
        return str(self.program.get("torch_version", ""))

    def check_harmless(self) -> None:
        """Raise `ProgramCode` for compiled code, pickles, foreign operators, and shapes or names that are not plain."""
        for name in self.names:
            if name.startswith(("data/aotinductor/", "data/executorch/")) or name.endswith((".so", ".dll", ".pte")):
                raise ProgramCode(reason=f"it contains compiled code ({name})")
        for name, entry in self._payloads():
            if entry.get("use_pickle") or not re.fullmatch(r"(weight|tensor)_\w+", str(entry.get("path_name"))):
                raise ProgramCode(reason=f"{name!r} is a pickled object")
        self._check_samples()
        if reason := forbidden_part(self.program):
            raise ProgramCode(reason=reason)
        for expression in sorted(set(_expressions(self.program))):
            if not is_arithmetic(expression):
                raise ProgramCode(reason=f"a shape in it is {expression[:80]!r}, which is not arithmetic")

    def _check_samples(self) -> None:
        """Check the stored example, which is loaded by unpickling: only tensors in tuples and dictionaries."""
        for name in self.names:
            if name.startswith("data/sample_inputs/"):
                wanted = pickles.unexpected_globals(io.BytesIO(self._read(name)))
                if wanted:
                    raise ProgramCode(reason=f"{name} is a pickle that calls {wanted[0].replace(' ', '.')}")

    def write_plain(self, path: Path) -> None:
        """Write only what was checked, as a separate archive.

        PyTorch finds files in a zip differently from Python (names in any case, other records at its end), so it never
        receives the original. The example and the conditions on inputs are left out: PyTorch would unpickle the former
        and compile the latter.
        """
        from torch.export.pt2_archive import PT2ArchiveWriter  # Slow: it also imports the loader.

        with PT2ArchiveWriter(str(path)) as writer:
            writer.write_string("models/model.json", json.dumps({**self.program, "guards_code": []}))
            writer.write_bytes("data/sample_inputs/model.pt", b"")
            for kind in _PAYLOADS:
                config = dict(self._payloads(kind))
                writer.write_string(f"data/{kind}/model_{kind}_config.json", json.dumps({"config": config}))
                for name in sorted({str(entry["path_name"]) for entry in config.values()}):
                    writer.write_bytes(f"data/{kind}/{name}", self._read(f"data/{kind}/{name}", longest_bytes=None))

    # --- parts -------------------------------------------------------------------------------------------------------

    @property
    def _graph(self) -> dict[str, Any]:
        try:
            module: dict[str, Any] = self.program["graph_module"]
            parts = (module["graph"]["nodes"], module["signature"]["input_specs"])
        except (KeyError, TypeError) as error:
            raise ProgramUnsupported(reason=f"its graph does not have PyTorch's form ({error})") from error
        if not all(isinstance(part, list) for part in parts):
            raise ProgramUnsupported(reason="its graph does not have PyTorch's form (nodes and inputs are not lists)")
        return module

    def _weight(self, kind: str, entry: dict[str, Any]) -> StoredTensor:
        meta, file = entry["tensor_meta"], f"data/{kind}/{entry['path_name']}"
        layout = [int(size["as_int"]) for size in (meta["storage_offset"], *meta["strides"])]
        return StoredTensor(_dtype(meta), tuple(_fixed(meta)), Place(file, self._sizes.get(file, 0), tuple(layout)))

    @cached_property
    def _sizes(self) -> dict[str, int]:
        """Sizes of the archive's files, by their names without its root folder."""
        with zipfile.ZipFile(self.path) as archive:
            return {info.filename.partition("/")[2]: info.file_size for info in archive.infolist()}

    def _payloads(self, kind: str = "(weights|constants)") -> Iterator[tuple[str, dict[str, Any]]]:
        for name in self.names:
            if re.fullmatch(rf"data/{kind}/\w+_config\.json", name):
                yield from self._json(name).get("config", {}).items()

    def _json(self, name: str) -> dict[str, Any]:
        try:
            content = json.loads(self._read(name))
        except (ValueError, RecursionError) as error:
            raise ProgramUnsupported(reason=f"{name} cannot be read ({error})") from error
        if not isinstance(content, dict):
            raise ProgramUnsupported(reason=f"{name} is not a JSON object")
        return content

    def _read(self, name: str, longest_bytes: int | None = LONGEST_FILE_BYTES) -> bytes:
        try:
            with zipfile.ZipFile(self.path) as archive:
                if name not in self.names:
                    raise ProgramUnsupported(reason=f"the archive lacks {name}")
                info = archive.getinfo(self.names[name])
                if longest_bytes is not None and info.file_size > longest_bytes:
                    raise ProgramUnsupported(reason=f"{name} has {info.file_size:,} bytes")
                return archive.read(info)
        except DAMAGE as error:
            raise ProgramUnsupported(reason=f"{name} cannot be read ({error})") from error

    def _tensor(self, argument: dict[str, Any]) -> TensorSpec:
        if "as_tensor" not in argument:
            kind = next(iter(argument), "nothing").removeprefix("as_")
            raise ProgramUnsupported(reason=f"it takes or returns {kind}, but only tensors are supported")
        name = argument["as_tensor"]["name"]
        meta = self._graph["graph"]["tensor_values"][name]
        shape = tuple(self._axis(size) for size in meta["sizes"])
        return TensorSpec(name=name, dtype=_dtype(meta), shape=shape)

    def _axis(self, size: dict[str, Any]) -> int | str | None:
        if "as_int" in size:
            return int(size["as_int"])
        expression = str(size["as_expr"]["expr_str"])
        return self._axes.get(expression) or _symbol(expression)

    @cached_property
    def _axes(self) -> dict[str, str]:
        """If the first input's first axis is free, its expression is the batch."""
        for spec in self._graph["signature"]["input_specs"]:
            if "user_input" in spec and "as_tensor" in spec["user_input"]["arg"]:
                name = spec["user_input"]["arg"]["as_tensor"]["name"]
                sizes = self._graph["graph"]["tensor_values"][name]["sizes"]
                return {str(sizes[0]["as_expr"]["expr_str"]): "batch"} if sizes and "as_expr" in sizes[0] else {}
        return {}

    def _spec(self, name: str) -> dict[str, Any]:
        try:
            signature = self._graph["module_call_graph"][0]["signature"]
            spec = json.loads(signature[name])[1]
        except (KeyError, TypeError, IndexError, ValueError) as error:
            raise ProgramUnsupported(reason=f"its call does not have PyTorch's form ({error})") from error
        return spec if isinstance(spec, dict) else {}


def _without_notes(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_notes(part) for key, part in value.items() if key not in _NOTES}
    return [_without_notes(part) for part in value] if isinstance(value, list) else value


def is_arithmetic(expression: str) -> bool:
    """Whether an expression of a shape consists only of numbers, symbols, and the functions that PyTorch writes."""
    try:
        nodes = list(ast.walk(ast.parse(expression, mode="eval")))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    names = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    return all(_is_plain(node, id(node) in names) for node in nodes)


def _is_plain(node: ast.AST, called: bool) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name)
    if isinstance(node, ast.Name):
        return node.id in _CALLS if called else re.fullmatch(r"[a-z]{1,3}\d+|int_oo|true|false|oo", node.id) is not None
    if isinstance(node, ast.Constant):
        return isinstance(node.value, bool | int | float) or re.fullmatch(_TEXT, str(node.value)) is not None
    return isinstance(node, _ARITHMETIC)


def _expressions(value: Any) -> Iterator[str]:
    """Every `expr_str`, at any depth."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if isinstance(item.get("expr_str"), str):
                yield item["expr_str"]
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item


def _symbol(expression: str) -> str | None:
    found = re.fullmatch(r"Symbol\('(\w+)'.*\)|([a-z]+\d+)", expression)
    return (found[1] or found[2]) if found else None


def _dtype(meta: dict[str, Any]) -> str:
    return _TYPES.get(meta["dtype"], f"type {meta['dtype']}")


def _fixed(meta: dict[str, Any]) -> Iterator[int]:
    return (int(size["as_int"]) for size in meta["sizes"])


def _keys(spec: dict[str, Any]) -> list[str] | None:
    """The keys of a dictionary, or of a transformers output, in pytree's form; `None` for anything else."""
    if not str(spec.get("type")).startswith(_MAPPINGS):
        return None
    context = spec.get("context")
    try:
        keys = json.loads(context) if isinstance(context, str) else context
    except ValueError:
        return None
    return [str(key) for key in keys] if isinstance(keys, list) else None
