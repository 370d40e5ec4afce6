"""A SavedModel read from its protobuf: signatures, operators, weights. It is neither loaded nor run.

Everything in it that could run when it is loaded or called is checked: the graph, and every function of its library.
See https://www.tensorflow.org/guide/saved_model.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from google.protobuf.message import DecodeError
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2
from tensorflow.python.framework import op_def_registry

from apps.agents.backends.tensorflow.graph_operators import PLUMBING, advice, reason_against_node
from apps.agents.backends.tensorflow.graph_saver import refuse_checkpoints
from apps.agents.backends.tensorflow.graph_walk import Graph
from apps.agents.backends.tensorflow.protobuf_parts import has_more_parts
from apps.agents.contracts.errors.tensorflow_models import (
    GraphOperatorsUnknown,
    GraphTouchesFiles,
    SavedModelDamaged,
    SignatureMissing,
    SignatureUnknown,
    VariablesMissing,
)
from apps.agents.contracts.number_types import bytes_of
from apps.agents.contracts.reports.model import MOST_WEIGHTS, ModelSummary, Signature, TensorSpec

SAVED_MODEL = "saved_model.pb"
SERVING = "serve"
DEFAULT_SIGNATURE = "serving_default"
_INTERNAL = "__saved_model"
"""Prefix of signature names that callers do not use."""
_VARIABLES = "variables"
_ASSETS_1 = "saved_model_assets"
_HANDLES = ("VarHandleOp", "VariableV2", "VarIsInitializedOp")
_NUMPY = {"half": "float16", "float": "float32", "double": "float64"}
MOST_PARTS, _COUNTED_FROM_BYTES = 5_000_000, 16 * 1024 * 1024
"""Limit of fields in the protobuf, each of which takes about a hundred bytes in memory; 20,000 nodes have a million."""
_HIGHEST_RANK = 254
"""Maximum number of axes of a TensorFlow shape."""
_WEIGHT_TYPES = frozenset(
    ("float64", "int64", "float32", "int32", "float16", "bfloat16", "int16", "int8", "uint8"),
)
_FLOATS = ("float", "bfloat")


@dataclass(frozen=True)
class SavedModelFile:
    """The parsed protobuf of one meta graph, checked to be harmless."""

    meta: Any
    version: str

    @property
    def tags(self) -> tuple[str, ...]:
        return tuple(self.meta.meta_info_def.tags)

    @cached_property
    def signatures(self) -> tuple[Signature, ...]:
        """The callable signatures, by name. Inputs and outputs are in the order of their names."""
        return tuple(
            Signature(
                name=name,
                inputs=tuple(_port(key, info) for key, info in sorted(entry.inputs.items())),
                outputs=tuple(_port(key, info) for key, info in sorted(entry.outputs.items())),
            )
            for name, entry in sorted(self.meta.signature_def.items())
            if not name.startswith(_INTERNAL) and entry.outputs
        )

    def chosen(self, signature: str | None) -> Signature:
        """The named signature, by default the default one. Raises `SignatureUnknown` and `SignatureMissing`."""
        by_name = {one.name: one for one in self.signatures}
        if not by_name:
            raise SignatureMissing()
        if signature is None:
            return by_name.get(DEFAULT_SIGNATURE) or self.signatures[0]
        if signature not in by_name:
            raise SignatureUnknown(signature=signature, offered=", ".join(by_name), field="signature")
        return by_name[signature]

    def summary(self, signature: str | None = None) -> ModelSummary:
        """The model as computed by one signature. Its size is that of the weights, each once."""
        chosen = self.chosen(signature)
        reached = list(self._graph.reached(_sources(self.meta.signature_def[chosen.name])))
        weights = tuple(_weights(reached))
        dtypes: Counter[str] = Counter()
        for spec in weights:
            dtypes[spec.dtype] += _elements(spec)
        return ModelSummary(
            format="saved-model",
            producer=f"TensorFlow {self.version}" if self.version else "",
            opset=None,
            inputs=chosen.inputs,
            outputs=chosen.outputs,
            parameters=sum(count for dtype, count in dtypes.items() if dtype.startswith(_FLOATS)),
            size_bytes=sum(bytes_of(count, dtype) for dtype, count in dtypes.items()),
            operators=dict(Counter(node.op for node in reached if node.op not in PLUMBING)),
            weight_dtypes=dict(dtypes),
            weights=weights[:MOST_WEIGHTS],
            signature=chosen.name,
            signatures=self.signatures,
        )

    @cached_property
    def _graph(self) -> Graph:
        return Graph.of(self.meta.graph_def)


def read_saved_model(folder: Path) -> SavedModelFile:
    """The SavedModel in `folder`, checked to contain nothing harmful.

    Raises `SavedModelDamaged`, `SignatureMissing`, `VariablesMissing`, `GraphTouchesFiles` and `GraphOperatorsUnknown`.
    """
    found, content = saved_model_pb2.SavedModel(), (folder / SAVED_MODEL).read_bytes()
    if len(content) > _COUNTED_FROM_BYTES and has_more_parts(content, found.DESCRIPTOR, MOST_PARTS):
        raise SavedModelDamaged(reason=f"its {SAVED_MODEL} has more than {MOST_PARTS:,} parts")
    try:
        found.ParseFromString(content)
    except DecodeError as error:
        raise SavedModelDamaged(reason=f"its {SAVED_MODEL} is not such a protobuf") from error
    if not found.meta_graphs:
        raise SavedModelDamaged(reason=f"its {SAVED_MODEL} does not contain a graph")
    serving = [meta for meta in found.meta_graphs if SERVING in meta.meta_info_def.tags]
    meta = (serving or list(found.meta_graphs))[0]
    file = SavedModelFile(meta, meta.meta_info_def.tensorflow_version[:40])
    for one in found.meta_graphs:  # TensorFlow selects one by its tags, which several may share.
        _judge(one)
        _check_files(one, folder)
    if not file.signatures:
        raise SignatureMissing()
    return file


# --- the graph --------------------------------------------------------------------------------------------------------


def _sources(signature: Any) -> list[str]:
    return [info.name for info in signature.outputs.values()]


def _judge(meta: Any) -> None:
    """Raise for a forbidden operator, for an unknown operator, and for endless calls.

    Everything is checked, including what no signature reaches, because loading runs more than what is called.
    """
    graph = Graph.of(meta.graph_def)
    everywhere = list(graph.everywhere())
    unknown = sorted({node.op for node in everywhere if not _is_known(node.op) and node.op not in graph.functions})
    if unknown:
        raise GraphOperatorsUnknown(operators=", ".join(name[:80] for name in unknown[:8]))
    for node in everywhere:
        if reason := reason_against_node(node):
            raise GraphTouchesFiles(operator=node.op, node=node.name[:120], what=reason, advice=advice(reason))
    graph.check_calls()
    refuse_checkpoints(meta, graph)


def _is_known(operator: str) -> bool:
    return op_def_registry.get(operator) is not None


# --- files ------------------------------------------------------------------------------------------------------------


def _check_files(meta: Any, folder: Path) -> None:
    for filename in _assets(meta):
        name = PurePosixPath(filename)
        if name.is_absolute() or ".." in name.parts or len(name.parts) != 1:
            raise SavedModelDamaged(reason=f"its asset {filename[:120]!r} lies outside the folder of assets")
    handles = [node for node in meta.graph_def.node if node.op in _HANDLES]
    index = folder / _VARIABLES / f"{_VARIABLES}.index"
    if handles and not index.is_file():
        raise VariablesMissing(count=len(handles), missing=f"{_VARIABLES}/{index.name}")
    if handles and not any(index.parent.glob(f"{_VARIABLES}.data-*")):
        raise VariablesMissing(count=len(handles), missing=f"{_VARIABLES}/{_VARIABLES}.data-…")


def _assets(meta: Any) -> Iterator[str]:
    """Names of assets, where TensorFlow 2 stores them and where TensorFlow 1 did."""
    yield from (asset.filename for asset in meta.asset_file_def)
    if _ASSETS_1 in meta.collection_def:
        for packed in meta.collection_def[_ASSETS_1].any_list.value:
            asset = meta_graph_pb2.AssetFileDef()
            try:
                asset.ParseFromString(packed.value)
            except DecodeError as error:
                raise SavedModelDamaged(reason="its list of assets is not such a protobuf") from error
            yield asset.filename


# --- weights ----------------------------------------------------------------------------------------------------------


def _weights(nodes: Iterable[Any]) -> Iterator[TensorSpec]:
    """Variables, and constants of more than one number. The same constant in several functions counts once."""
    seen: set[str] = set()
    for node in nodes:
        if node.op in _HANDLES[:2]:
            spec = TensorSpec(
                name=_plain(node), dtype=_dtype(node.attr["dtype"].type), shape=_shape(node.attr["shape"].shape)
            )
            key = node.name
        elif node.op == "Const":
            tensor = node.attr["value"].tensor
            spec = TensorSpec(name=node.name, dtype=_dtype(tensor.dtype), shape=_shape(tensor.tensor_shape))
            key = hashlib.sha256(tensor.SerializeToString()).hexdigest()
            if not spec.dtype.startswith(_FLOATS) or _elements(spec) <= 1:
                continue
        else:
            continue
        if key not in seen and spec.dtype in _WEIGHT_TYPES:
            seen.add(key)
            yield spec


def _plain(node: Any) -> str:
    """A variable's own name, if it has one."""
    return str(node.attr["shared_name"].s.decode("utf-8", "replace")) or str(node.name)


def _port(name: str, info: Any) -> TensorSpec:
    if info.tensor_shape.unknown_rank:
        return TensorSpec(name=name, dtype=_dtype(info.dtype), shape=())
    return TensorSpec(name=name, dtype=_dtype(info.dtype), shape=_shape(info.tensor_shape))


def _shape(proto: Any) -> tuple[int | None, ...]:
    if len(proto.dim) > _HIGHEST_RANK:
        raise SavedModelDamaged(reason=f"a shape in it has {len(proto.dim):,} axes")
    return tuple(None if axis.size < 0 else int(axis.size) for axis in proto.dim)


def _dtype(number: int) -> str:
    if number not in types_pb2.DataType.values():
        raise SavedModelDamaged(reason=f"it has tensors of the unknown type {number}")
    name = types_pb2.DataType.Name(number).removeprefix("DT_").removesuffix("_REF").lower()
    return str(_NUMPY.get(name, name))


def _elements(spec: TensorSpec) -> int:
    return math.prod(axis if isinstance(axis, int) else 1 for axis in spec.shape)
