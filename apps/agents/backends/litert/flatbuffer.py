"""A `.tflite` file read from its flatbuffer: operators, tensors, signatures. Nothing is run.

The schema is TensorFlow Lite's (https://github.com/google-ai-edge/LiteRT/blob/main/tflite/converter/schema/schema.fbs),
read by the classes that LiteRT generates from it. They check nothing, so all their exceptions on a damaged file become
`LiteRtDamaged`. Parts of a flatbuffer may share their bytes, so a small file can describe a huge model: the parts are
counted while reading, and refused once there are more than the file could contain.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from apps.agents.contracts.errors.litert_models import LiteRtDamaged
from apps.agents.contracts.errors.models import ModelEmpty
from apps.agents.contracts.errors.tensorflow_models import SignatureUnknown
from apps.agents.contracts.number_types import bytes_of
from apps.agents.contracts.reports.model import MOST_WEIGHTS, ModelSummary, Quantized, Signature, TensorSpec

BROKEN = (struct.error, IndexError, ValueError, TypeError, AttributeError, UnicodeError, KeyError, OverflowError)
"""Exceptions of the generated classes on bytes that are not such a model."""
_CUSTOM = 32
_SHARED, _SPARE = 4, 4096
"""How often normal files share bytes at most, and how many additional parts small files may have."""
IN_THIS_FILE = 1
"""A buffer with an `offset` above this has its bytes after the flatbuffer."""
DEFAULT_SIGNATURE = "serving_default"
"""The converters' name for the default signature."""

DTYPES = {value: name.lower() for name, value in vars(schema.TensorType).items() if not name.startswith("_")}
"""numpy's names for the schema's numbers: FLOAT32 is `float32`, INT4 `int4`, BOOL `bool`."""
_OPERATORS = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
BUILTIN = frozenset(_OPERATORS.values())
"""Names of the operators that are part of TensorFlow Lite."""


@dataclass(frozen=True)
class Tensor:
    """One tensor of a subgraph. A free axis is `None`."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    stored: bool
    """Whether its numbers are stored in the file."""
    scales: tuple[float, ...] = ()
    zero_points: tuple[int, ...] = ()
    buffer: int = 0
    """Index of the buffer with its numbers; several tensors may share it."""

    @property
    def elements(self) -> int:
        return math.prod(axis or 1 for axis in self.shape)

    @property
    def stored_bytes(self) -> int:
        return bytes_of(self.elements, self.dtype) if self.stored else 0


@dataclass(frozen=True)
class Operator:
    """`inputs` and `outputs` are indices of tensors; -1 is an omitted input."""

    op_type: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Port:
    """One input or output, with the name that callers use."""

    name: str
    tensor: int


@dataclass(frozen=True)
class Subgraph:
    """A unit of execution: operators, and the tensors that their indices refer to."""

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]

    def name_of(self, operator: Operator) -> str:
        """An operator's name: its first output's, as in the tools for this format."""
        return self.tensors[operator.outputs[0]].name if operator.outputs else operator.op_type

    def weights_of(self, operator: Operator) -> Iterator[Tensor]:
        """The weights that an operator reads from the file, without integers that only describe shapes and axes."""
        for number in operator.inputs:
            if number >= 0 and (tensor := self.tensors[number]).stored and is_weight(tensor):
                yield tensor


@dataclass(frozen=True)
class LiteRtFile(Subgraph):
    """The subgraph of one signature of a model, or its first subgraph if it has no signatures."""

    description: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    signature: str | None
    signatures: tuple[Signature, ...]
    """All signatures of the model."""
    subgraph: int
    size_bytes: int
    """Size without metadata and appended files, which contain no tensor's numbers."""
    inner: tuple[Subgraph, ...] = ()
    """The other subgraphs: bodies of loops and branches, and those of other signatures."""

    @cached_property
    def readers(self) -> dict[int, list[Operator]]:
        """The operators that read each tensor."""
        found: dict[int, list[Operator]] = {}
        for operator in self.operators:
            for number in operator.inputs:
                found.setdefault(number, []).append(operator)
        return found

    def summary(self) -> ModelSummary:
        """The summary for inspection. `parameters` counts floats and quantized numbers, not shapes and axes."""
        weights = list(self._weights())
        dtypes: Counter[str] = Counter()
        for tensor in {tensor.buffer: tensor for tensor in reversed(weights)}.values():
            dtypes[tensor.dtype] += tensor.elements
        inputs, outputs = _specs(self.inputs, self.tensors), _specs(self.outputs, self.tensors)
        return ModelSummary(
            format="tflite",
            producer=self.description,
            opset=None,
            inputs=inputs,
            outputs=outputs,
            parameters=sum(dtypes.values()),
            size_bytes=self.size_bytes,
            operators=dict(Counter(operator.op_type for part in self.parts for operator in part.operators)),
            weight_dtypes=dict(dtypes),
            weights=tuple(
                TensorSpec(name=tensor.name, dtype=tensor.dtype, shape=tensor.shape)
                for tensor in weights[:MOST_WEIGHTS]
            ),
            signature=self.signature,
            signatures=self.signatures,
        )

    @property
    def parts(self) -> tuple[Subgraph, ...]:
        """The subgraph and its inner ones."""
        return (self, *self.inner)

    def _weights(self) -> Iterator[Tensor]:
        """Each stored tensor once."""
        seen = set()
        for tensor in (tensor for part in self.parts for tensor in part.tensors):
            if tensor.stored and is_weight(tensor) and tensor.buffer not in seen:
                seen.add(tensor.buffer)
                yield tensor

    def port_spec(self, port: Port) -> TensorSpec:
        """An input or output in real numbers. If the file takes it as int8, the spec also contains that."""
        return _port_spec(port, self.tensors)


def _specs(ports: Sequence[Port], tensors: Sequence[Tensor]) -> tuple[TensorSpec, ...]:
    return tuple(_port_spec(port, tensors) for port in ports)


def _port_spec(port: Port, tensors: Sequence[Tensor]) -> TensorSpec:
    tensor = tensors[port.tensor]
    if len(tensor.scales) == 1 and tensor.dtype in ("int8", "uint8", "int16"):
        quantized = Quantized(dtype=tensor.dtype, scale=tensor.scales[0], zero_point=tensor.zero_points[0])
        return TensorSpec(name=port.name, dtype="float32", shape=tensor.shape, quantized=quantized)
    return TensorSpec(name=port.name, dtype=tensor.dtype, shape=tensor.shape)


def is_weight(tensor: Tensor) -> bool:
    """Whether it is floats, or integers with a scale. Other tensors describe shapes, axes and paddings."""
    return tensor.dtype.startswith(("float", "bfloat")) or bool(tensor.scales)


def read_litert(path: Path, signature: str | None = None) -> LiteRtFile:
    """The model at `path` by one of its signatures, as `parse_litert` chooses it."""
    return parse_litert(path.read_bytes(), signature)


def parse_litert(content: bytes, signature: str | None = None) -> LiteRtFile:
    """The model in `content`, with the named signature, by default the model's default one.

    Raises `LiteRtDamaged`, `ModelEmpty` and `SignatureUnknown`.
    """
    try:
        found = _file(schema.Model.GetRootAs(content, 0), _Reader(content), _appended_bytes(content), signature)
    except (*BROKEN, MemoryError, RecursionError) as error:
        raise LiteRtDamaged(reason=f"{type(error).__name__}: {error}"[:300]) from error
    if not found.operators:
        raise ModelEmpty(missing="operators")
    if not found.outputs:
        raise ModelEmpty(missing="outputs")
    return found


class _Reader:
    """Reads parts of a flatbuffer and counts them. Raises `ValueError` if there are more than the file can contain."""

    def __init__(self, content: bytes) -> None:
        self.size_bytes = len(content)
        self._left = _SHARED * len(content) + _SPARE

    def parts(self, table: Any, name: str) -> list[Any]:
        """The tables in the vector `name` of `table`."""
        length = self.count(getattr(table, f"{name}Length")())
        return [getattr(table, name)(place) for place in range(length)]

    def numbers(self, table: Any, name: str) -> tuple[Any, ...]:
        """The numbers in the vector `name` of `table`; empty if it does not have that vector."""
        if not self.count(getattr(table, f"{name}Length")()):
            return ()
        return tuple(getattr(table, f"{name}AsNumpy")().tolist())

    def text(self, value: bytes | None) -> str:
        self.count(len(value or b""))
        return (value or b"").decode("utf-8")

    def count(self, length: int) -> int:
        """Count another part of this `length`."""
        self._left -= length
        if self._left < 0:
            raise ValueError("it has more parts than its bytes can contain")
        return length


def _appended_bytes(content: bytes) -> int:
    """Size of a zip, such as lists of classes, that may follow the model."""
    file = io.BytesIO(content)
    if not zipfile.is_zipfile(file):
        return 0
    try:
        with zipfile.ZipFile(file) as archive:
            first = min((info.header_offset for info in archive.infolist()), default=len(content))
    except zipfile.BadZipFile:
        return 0
    return len(content) - min(max(0, first), len(content))


def _unread_bytes(buffers: Sequence[Any], graphs: Sequence[Subgraph]) -> int:
    """Size of buffers that contain no tensor's numbers, such as metadata."""
    read = {tensor.buffer for graph in graphs for tensor in graph.tensors}
    unread = (buffer for place, buffer in enumerate(buffers) if place not in read)
    return sum(buffer.Size() if buffer.Offset() > IN_THIS_FILE else buffer.DataLength() for buffer in unread)


@dataclass(frozen=True)
class _Entry:
    """One function of the model: a subgraph, and the names of its inputs and outputs."""

    name: str | None
    subgraph: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


def _file(model: Any, reader: _Reader, appended_bytes: int, signature: str | None) -> LiteRtFile:
    subgraphs = reader.parts(model, "Subgraphs")
    buffers = reader.parts(model, "Buffers")
    for buffer in buffers:
        reader.count(buffer.DataLength())
    codes = [_code(code, reader) for code in reader.parts(model, "OperatorCodes")]
    read = [Subgraph(*_subgraph(graph, buffers, codes, reader)) for graph in subgraphs]
    signed = [_signed(one, reader) for one in reader.parts(model, "SignatureDefs")]
    # A signature without a name cannot be selected.
    by_name = {entry.name: entry for entry in reversed(signed) if entry.name}
    for entry in by_name.values():
        _check(entry, _at(read, entry.subgraph).tensors)
        if not {port.tensor for port in entry.inputs} <= set(reader.numbers(subgraphs[entry.subgraph], "Inputs")):
            raise ValueError("a signature has inputs that its subgraph does not have")
    chosen = _chosen(list(by_name.values())[::-1], signature)
    if chosen is None:
        tensors = read[0].tensors
        ports = [_unsigned(reader.numbers(subgraphs[0], side), tensors) for side in ("Inputs", "Outputs")]
        chosen = _Entry(None, 0, *ports)
        _check(chosen, tensors)
    return LiteRtFile(
        description=reader.text(model.Description()),
        tensors=read[chosen.subgraph].tensors,
        operators=read[chosen.subgraph].operators,
        inputs=chosen.inputs,
        outputs=chosen.outputs,
        signature=chosen.name,
        signatures=tuple(_offered(entry, read[entry.subgraph].tensors) for _, entry in sorted(by_name.items())),
        subgraph=chosen.subgraph,
        size_bytes=max(0, reader.size_bytes - appended_bytes - _unread_bytes(buffers, read)),
        inner=tuple(one for place, one in enumerate(read) if place != chosen.subgraph),
    )


def _chosen(entries: Sequence[_Entry], signature: str | None) -> _Entry | None:
    """The named signature; by default the default one, else that of the first subgraph, else the first."""
    if signature is not None:
        found = next((entry for entry in entries if entry.name == signature), None)
        if found is None:
            offered = ", ".join(sorted(str(entry.name) for entry in entries)) or "none"
            raise SignatureUnknown(signature=signature, offered=offered, field="signature")
        return found
    ranked = sorted(entries, key=lambda entry: (entry.name != DEFAULT_SIGNATURE, entry.subgraph != 0))
    return ranked[0] if ranked else None


def _check(entry: _Entry, tensors: Sequence[Tensor]) -> None:
    """Raise an exception listed in `BROKEN` for names of missing tensors, and for invalid scales."""
    for port in (*entry.inputs, *entry.outputs):
        if not 0 <= port.tensor < len(tensors):
            raise IndexError("an input or output refers to a missing tensor")
        if not all(_is_scale(scale) for scale in tensors[port.tensor].scales):
            raise ValueError("the scale of an input or output is not a positive number")


def _offered(entry: _Entry, tensors: Sequence[Tensor]) -> Signature:
    return Signature(name=str(entry.name), inputs=_specs(entry.inputs, tensors), outputs=_specs(entry.outputs, tensors))


def _subgraph(
    graph: Any, buffers: Sequence[Any], codes: Sequence[str], reader: _Reader
) -> tuple[tuple[Tensor, ...], tuple[Operator, ...]]:
    tensors = tuple(_tensor(tensor, buffers, reader) for tensor in reader.parts(graph, "Tensors"))
    operators = tuple(
        Operator(_at(codes, one.OpcodeIndex()), reader.numbers(one, "Inputs"), reader.numbers(one, "Outputs"))
        for one in reader.parts(graph, "Operators")
    )
    if any(not -1 <= number < len(tensors) for one in operators for number in (*one.inputs, *one.outputs)):
        raise IndexError("an operator refers to a missing tensor")
    return tensors, operators


def _tensor(tensor: Any, buffers: Sequence[Any], reader: _Reader) -> Tensor:
    shape, signed = reader.numbers(tensor, "Shape"), reader.numbers(tensor, "ShapeSignature")
    signed = signed if len(signed) == len(shape) else shape
    buffer = _at(buffers, tensor.Buffer())
    if buffer.Offset() > IN_THIS_FILE and buffer.Offset() + buffer.Size() > reader.size_bytes:
        raise IndexError("a tensor's numbers lie beyond the end of the file")
    stored = buffer.DataLength() > 0 or buffer.Offset() > IN_THIS_FILE
    quantization = tensor.Quantization()
    scales = reader.numbers(quantization, "Scale") if quantization is not None else ()
    zeros = reader.numbers(quantization, "ZeroPoint") if quantization is not None else ()
    return Tensor(
        name=reader.text(tensor.Name()),
        dtype=DTYPES[tensor.Type()],
        shape=tuple(None if axis < 0 else axis for axis in signed),
        stored=stored and not tensor.IsVariable(),
        scales=scales,
        zero_points=zeros or (0,) * len(scales),
        buffer=tensor.Buffer(),
    )


def _code(code: Any, reader: _Reader) -> str:
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    return reader.text(code.CustomCode()) if number == _CUSTOM else _OPERATORS[number]


def _at(parts: Sequence[Any], number: int) -> Any:
    if not 0 <= number < len(parts):
        raise IndexError(f"a part refers to item {number} of a list of {len(parts)}")
    return parts[number]


def _is_scale(scale: float) -> bool:
    return math.isfinite(scale) and scale > 0


def _signed(signature: Any, reader: _Reader) -> _Entry:
    sides = [
        tuple(Port(reader.text(port.Name()), port.TensorIndex()) for port in reader.parts(signature, side))
        for side in ("Inputs", "Outputs")
    ]
    return _Entry(reader.text(signature.SignatureKey()), signature.SubgraphIndex(), *sides)


def _unsigned(numbers: Sequence[int], tensors: Sequence[Tensor]) -> tuple[Port, ...]:
    return tuple(Port(_at(tensors, number).name, number) for number in numbers)
