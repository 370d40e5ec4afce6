"""Reads the description in an ONNX file without an ML library and without loading its weights.

The web process uses it. It walks the protobuf wire format over a memory map and follows only the fields that describe
the model. It skips the bytes of weights, so a file of two gigabytes costs a few pages of memory.
Format: https://protobuf.dev/programming-guides/encoding/; field numbers: onnx.proto, IR version 14.

It does not validate: `apps.agents.backends.onnx.inspection` does that, in a child.
"""

from __future__ import annotations

import mmap
from collections import Counter
from collections.abc import Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from math import prod
from pathlib import Path

from apps.agents.contracts.errors.models import ModelMalformed, ModelTruncated
from apps.agents.contracts.reports.model import ModelSummary, TensorSpec
from apps.agents.files.onnx_quantized import quantization_of
from apps.agents.files.protobuf_wire import WireReader

ELEMENT_TYPES: dict[int, str] = dict(
    enumerate(
        (
            *("undefined", "float32", "uint8", "int8", "uint16", "int16", "int32", "int64", "string", "bool"),
            *("float16", "float64", "uint32", "uint64", "complex64", "complex128", "bfloat16"),
            *("float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz", "uint4", "int4"),
            *("float4e2m1", "float8e8m0", "uint2", "int2"),
        )
    )
)
"""ONNX's TensorProto.DataType in numpy's spelling."""

DEFAULT_DOMAINS = ("", "ai.onnx")
NO_NAMES = frozenset({"", "?", "-1", "*", "none", "null", "unk", "unknown", "dynamic", "undefined"})
"""What converters write, in lower case, for an axis without a name. Two such axes may have different lengths."""
_DEEPEST_GRAPH = 50
"""Graphs within graphs. Protobuf's own readers stop at 100 messages, two for each graph."""

Shape = tuple[int | str | None, ...]
# Without these limits, a file of empty two-byte parts would exhaust the web process's memory and time.
_MOST_FIELDS = 50_000_000
_MOST_TENSORS = 1_000_000
_MOST_OPERATORS = 10_000
_MOST_FUNCTIONS = 100_000
_MOST_VALUES = 10_000
_MOST_ATTRIBUTES = 1_000
_MOST_AXES = 64
_MOST_ENTRIES = 64
_LARGEST_COUNT = 2**63 - 1
"""Limit of elements in one tensor or in all of them: the database cannot store a larger number."""
_LARGEST_OPSET = 2**31 - 1

_NO_TYPE: tuple[str, Shape] = ("undefined", ())


@dataclass(frozen=True)
class WireTensor:
    """A stored tensor: its name, element type, element count, and the location of its bytes if outside the file."""

    name: str
    dtype: str
    elements: int
    external: dict[str, str] | None = None
    """`location`, `offset`, `length`, unchanged from the file."""


@dataclass
class WireModel:
    """The description in the file, in the file's order."""

    ir_version: int | None = None
    producer: str = ""
    opsets: dict[str, int] = field(default_factory=dict)
    has_graph: bool = False
    inputs: list[TensorSpec] = field(default_factory=list)
    outputs: list[TensorSpec] = field(default_factory=list)
    tensors: list[WireTensor] = field(default_factory=list)
    """Initializers and `Constant` values of the graph, its inner graphs, and the model's own functions."""
    operators: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Nodes of the graph and its inner graphs, by domain and type."""
    function_operators: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Nodes in the bodies of the model's own functions. Each body is counted once."""
    functions: set[tuple[str, str]] = field(default_factory=set)

    @property
    def opset(self) -> int | None:
        """The version of ONNX's own operators."""
        return next((self.opsets[domain] for domain in DEFAULT_DOMAINS if domain in self.opsets), None)

    def summary(self, size_bytes: int) -> ModelSummary:
        """As a `ModelSummary`. Parameters are all stored elements, so the counts in `weight_dtypes` add up to them."""
        dtypes: Counter[str] = Counter()
        for tensor in self.tensors:
            dtypes[tensor.dtype] += tensor.elements
        operators: Counter[str] = Counter()
        for (_, op_type), count in self.operators.items():
            operators[op_type] += count
        in_functions: Counter[str] = Counter()
        for (_, op_type), count in self.function_operators.items():
            in_functions[op_type] += count
        return ModelSummary(
            format="onnx",
            producer=self.producer,
            opset=self.opset,
            inputs=tuple(self.inputs),
            outputs=tuple(self.outputs),
            parameters=dtypes.total(),
            size_bytes=size_bytes,
            operators=dict(sorted(operators.items())),
            weight_dtypes=dict(sorted(dtypes.items())),
            quantization=quantization_of(operators + in_functions, dtypes),
        )


def read_model(path: Path) -> WireModel:
    """Read the description in the `.onnx` file at `path`.

    Raises `ModelTruncated` if a field reaches past its end and `ModelMalformed` if the bytes are not an ONNX model or
    have more parts than any real one.
    """
    with _mapped(path) as data:
        reader = _Reader(data)
        model = WireModel()
        reader.model(0, len(data), model)
        return model


def summarize(path: Path) -> ModelSummary:
    """`ModelSummary` of a plain `.onnx` file; `size_bytes` is the file's, without external data."""
    return read_model(path).summary(path.stat().st_size)


@contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap]:
    with path.open("rb") as file:
        if path.stat().st_size == 0:
            raise ModelTruncated(reason="it is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield data


class _Reader(WireReader):
    """One pass over the file. A message is a range of bytes. Each method reads one kind of message."""

    def __init__(self, data: mmap.mmap) -> None:
        super().__init__(data, most_fields=_MOST_FIELDS)
        self.elements = 0

    @staticmethod
    def room(kept: Sized, most: int, what: str) -> None:
        """Raise `ModelMalformed` if there are already `most` of them."""
        if len(kept) >= most:
            raise ModelMalformed(reason=f"it has more than {most:,} {what}")

    # --- onnx.proto ---

    def model(self, at: int, end: int, into: WireModel) -> None:
        producer = version = ""
        for number, wire, start, stop in self.fields(at, end):
            match number, wire:
                case 1, 0:
                    into.ir_version = start
                case 2, 2:
                    producer = self.text(start, stop)
                case 3, 2:
                    version = self.text(start, stop)
                case 7, 2:
                    into.has_graph = True
                    self.graph(start, stop, into, depth=0)
                case 8, 2:
                    self.room(into.opsets, _MOST_OPERATORS, "sets of operators")
                    domain, opset = self.opset(start, stop)
                    into.opsets[domain] = opset
                case 25, 2:
                    self.function(start, stop, into)
        into.producer = f"{producer} {version}".strip()

    def opset(self, at: int, end: int) -> tuple[str, int]:
        domain, version = "", 0
        for number, wire, start, stop in self.fields(at, end):
            if (number, wire) == (1, 2):
                domain = self.text(start, stop)
            elif (number, wire) == (2, 0):
                version = start
        if version > _LARGEST_OPSET:
            raise ModelMalformed(reason=f"{version:,} is not a version of an operator set")
        return domain, version

    def function(self, at: int, end: int, into: WireModel) -> None:
        name = domain = ""
        for number, start, stop in self.messages(at, end):
            if number == 1:
                name = self.text(start, stop)
            elif number == 10:
                domain = self.text(start, stop)
            elif number == 7:
                self.node(start, stop, into, into.function_operators, depth=0)
        self.room(into.functions, _MOST_FUNCTIONS, "functions")
        into.functions.add((domain, name))

    def graph(self, at: int, end: int, into: WireModel, depth: int) -> None:
        """Nodes and initializers, and for the outermost graph also inputs and outputs."""
        if depth > _DEEPEST_GRAPH:
            raise ModelMalformed(reason=f"graphs are nested more than {_DEEPEST_GRAPH} deep")
        inputs: list[TensorSpec] = []
        stored: set[str] = set()
        for number, start, stop in self.messages(at, end):
            if number == 1:
                self.node(start, stop, into, into.operators, depth)
            elif number in (5, 15):
                tensor = self.tensor(start, stop) if number == 5 else self.sparse(start, stop)
                self.keep(tensor, into)
                stored.add(tensor.name)
            elif number == 11 and depth == 0:
                self.room(inputs, _MOST_VALUES, "inputs")
                inputs.append(self.value(start, stop))
            elif number == 12 and depth == 0:
                self.room(into.outputs, _MOST_VALUES, "outputs")
                into.outputs.append(self.value(start, stop))
        # Until IR version 4, initializers were also listed as inputs, but a caller does not feed them.
        into.inputs += [spec for spec in inputs if spec.name not in stored]

    def node(self, at: int, end: int, into: WireModel, counts: Counter[tuple[str, str]], depth: int) -> None:
        op_type = domain = ""
        attributes: list[tuple[int, int]] = []
        for number, start, stop in self.messages(at, end):
            if number == 4:
                op_type = self.text(start, stop)
            elif number == 7:
                domain = self.text(start, stop)
            elif number == 5:
                self.room(attributes, _MOST_ATTRIBUTES, "attributes of one node")
                attributes.append((start, stop))
        self.room(counts, _MOST_OPERATORS, "kinds of operator")
        counts["" if domain in DEFAULT_DOMAINS else domain, op_type] += 1
        for start, stop in attributes:
            self.attribute(start, stop, into, op_type, depth)

    def attribute(self, at: int, end: int, into: WireModel, op_type: str, depth: int) -> None:
        """Graphs inside a node, and the tensor of a `Constant`."""
        for number, start, stop in self.messages(at, end):
            if number in (6, 11):
                self.graph(start, stop, into, depth + 1)
            elif op_type == "Constant" and number == 5:
                self.keep(self.tensor(start, stop), into)
            elif op_type == "Constant" and number == 22:
                self.keep(self.sparse(start, stop), into)

    def keep(self, tensor: WireTensor, into: WireModel) -> None:
        self.room(into.tensors, _MOST_TENSORS, "tensors")
        self.elements += tensor.elements
        if self.elements > _LARGEST_COUNT:
            raise ModelMalformed(reason=f"tensor {tensor.name!r} declares more elements than any file can hold")
        into.tensors.append(tensor)

    def tensor(self, at: int, end: int) -> WireTensor:
        name, data_type = "", 0
        dims: list[int] = []
        entries: dict[str, str] = {}
        is_external = False
        for number, wire, start, stop in self.fields(at, end):
            match number, wire:
                case 1, 0:
                    self.room(dims, _MOST_AXES, "axes of one tensor")
                    dims.append(start)
                case 1, 2:
                    while start < stop:
                        self.room(dims, _MOST_AXES, "axes of one tensor")
                        value, start = self.varint(start, stop)
                        dims.append(value)
                case 2, 0:
                    data_type = start
                case 8, 2:
                    name = self.text(start, stop)
                case 13, 2:
                    self.room(entries, _MOST_ENTRIES, "entries on where one tensor is stored")
                    key, text = self.entry(start, stop)
                    entries[key] = text
                case 14, 0:
                    is_external = start == 1
        if any(dim >= 1 << 63 for dim in dims):
            raise ModelMalformed(reason=f"tensor {name!r} has a negative axis")
        dtype = ELEMENT_TYPES.get(data_type, f"type {data_type}")
        return WireTensor(name, dtype, prod(dims), entries if is_external else None)

    def sparse(self, at: int, end: int) -> WireTensor:
        """A sparse tensor counts with its stored values."""
        for number, start, stop in self.messages(at, end):
            if number == 1:
                return self.tensor(start, stop)
        return WireTensor("", ELEMENT_TYPES[0], 0)

    def entry(self, at: int, end: int) -> tuple[str, str]:
        key = value = ""
        for number, start, stop in self.messages(at, end):
            if number == 1:
                key = self.text(start, stop)
            elif number == 2:
                value = self.text(start, stop)
        return key, value

    def value(self, at: int, end: int) -> TensorSpec:
        name = ""
        dtype, shape = _NO_TYPE
        for number, start, stop in self.messages(at, end):
            if number == 1:
                name = self.text(start, stop)
            elif number == 2:
                dtype, shape = self.type(start, stop, depth=0)
        return TensorSpec(name=name, dtype=dtype, shape=shape)

    def type(self, at: int, end: int, depth: int) -> tuple[str, Shape]:
        """Element type and shape. Names of sequences and optionals contain their element; maps have only their name."""
        if depth > _DEEPEST_GRAPH:
            raise ModelMalformed(reason="a type is nested too deep")
        for number, start, stop in self.messages(at, end):
            if number == 1:
                return self.tensor_type(start, stop)
            if number == 8:
                dtype, shape = self.tensor_type(start, stop)
                return f"sparse({dtype})", shape
            if number in (4, 9):
                wrapper = "sequence" if number == 4 else "optional"
                inner = next((part for part in self.messages(start, stop) if part[0] == 1), None)
                element = self.type(inner[1], inner[2], depth + 1)[0] if inner else "undefined"
                return f"{wrapper}({element})", ()
            if number == 5:
                return "map", ()
        return _NO_TYPE

    def tensor_type(self, at: int, end: int) -> tuple[str, Shape]:
        element = 0
        shape: list[int | str | None] = []
        for number, wire, start, stop in self.fields(at, end):
            if (number, wire) == (1, 0):
                element = start
            elif (number, wire) == (2, 2):
                axes = (self.axis(*span[1:]) for span in self.messages(start, stop) if span[0] == 1)
                shape = list(islice(axes, _MOST_AXES + 1))
                self.room(shape, _MOST_AXES + 1, "axes of one tensor")
        return ELEMENT_TYPES.get(element, f"type {element}"), tuple(shape)

    def axis(self, at: int, end: int) -> int | str | None:
        """The axis' length or name; `None` if it has neither, or a placeholder such as -1 or `?`."""
        length: int | str | None = None
        for number, wire, start, stop in self.fields(at, end):
            if (number, wire) == (1, 0):
                length = None if start >= 1 << 63 else start
            elif (number, wire) == (2, 2):
                name = self.text(start, stop)
                length = None if name.strip().lower() in NO_NAMES else name
        return length
