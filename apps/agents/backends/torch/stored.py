"""Stored weights as described in their files: names, types and shapes, read without loading a number."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from apps.agents.backends.torch import pickles
from apps.agents.contracts.errors.models import ModelTruncated
from apps.agents.contracts.errors.torch_models import ShardsMissing, WeightsMissing
from apps.agents.contracts.number_types import BITS
from apps.agents.contracts.reports.model import MOST_WEIGHTS, TensorSpec

SAFETENSORS = "model.safetensors"
BIN = "pytorch_model.bin"
_SAFETENSORS_TYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8e4m3fn",
    "F8_E5M2": "float8e5m2",
    "F8_E8M0": "float8e8m0",
    "I64": "int64",
    "U64": "uint64",
    "I32": "int32",
    "U32": "uint32",
    "I16": "int16",
    "U16": "uint16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
_TORCH_TYPES = {
    "float8_e4m3fn": "float8e4m3fn",
    "float8_e4m3fnuz": "float8e4m3fnuz",
    "float8_e5m2": "float8e5m2",
    "float8_e5m2fnuz": "float8e5m2fnuz",
    "float8_e8m0fnu": "float8e8m0",
}


@dataclass(frozen=True)
class Place:
    """Where a tensor's numbers are stored, if they may share storage with others."""

    storage: int | str
    storage_bytes: int
    layout: tuple[int, ...] = ()
    """Offset and strides."""


@dataclass(frozen=True)
class StoredTensor:
    dtype: str
    """In the contract's spelling, such as `float32`."""
    shape: tuple[int, ...]
    place: Place | None = None
    """`None` if it shares nothing."""

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int:
        return math.ceil(self.elements * BITS.get(self.dtype, 32) / 8)


Weights = Mapping[str, StoredTensor]


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The files of weights in a transformers folder, in the order in which transformers looks for them.

    Raises `WeightsMissing` if there are none, and `ShardsMissing` if the index names files that are missing.
    """
    for name in (SAFETENSORS, BIN):
        if (folder / name).is_file():
            return (folder / name,)
        if (index := folder / f"{name}.index.json").is_file():
            return _shards(folder, index)
    raise WeightsMissing(names=f"{SAFETENSORS} or {BIN}")


def read_weights(files: Iterable[Path]) -> dict[str, StoredTensor]:
    """The contents of the files, by name. Raises `ModelTruncated` and `PickleRefused`."""
    weights: dict[str, StoredTensor] = {}
    for file in files:
        weights |= read_safetensors(file) if file.suffix == ".safetensors" else _checkpoint(file)
    return weights


def listed(weights: Weights) -> tuple[TensorSpec, ...]:
    """The weights in the form of a summary."""
    first = list(weights.items())[:MOST_WEIGHTS]
    return tuple(TensorSpec(name=name, dtype=tensor.dtype, shape=tensor.shape) for name, tensor in first)


def counted(weights: Weights) -> dict[str, int]:
    """Elements by type. A tensor with two names counts once."""
    counts: Counter[str] = Counter()
    for tensor in _each_once(weights):
        counts[tensor.dtype] += tensor.elements
    return dict(sorted(counts.items()))


def size_bytes(weights: Weights) -> int:
    """Size of the weights. Each storage counts once, and of a larger storage only the weights' own part."""
    alone, shared = 0, dict[int | str, list[StoredTensor]]()
    for tensor in _each_once(weights):
        if tensor.place is None:
            alone += tensor.size_bytes
        else:
            shared.setdefault(tensor.place.storage, []).append(tensor)
    return alone + sum(_of_one_storage(tensors) for tensors in shared.values())


def _of_one_storage(tensors: Sequence[StoredTensor]) -> int:
    room = max(tensor.place.storage_bytes for tensor in tensors if tensor.place)
    return min(room, sum(tensor.size_bytes for tensor in tensors))


def _each_once(weights: Weights) -> Iterator[StoredTensor]:
    seen: set[StoredTensor] = set()
    for tensor in weights.values():
        if tensor.place is None or tensor not in seen:
            yield tensor
        seen.add(tensor)


def described(tensors: Mapping[str, torch.Tensor]) -> dict[str, StoredTensor]:
    """Tensors in memory, described as in a file."""
    return {
        name: StoredTensor(type_name(tensor.dtype), tuple(tensor.shape), _place(tensor))
        for name, tensor in tensors.items()
    }


def _place(tensor: torch.Tensor) -> Place | None:
    """Tensors without numbers share nothing, and neither do those with another layout (sparse, quantized)."""
    if tensor.is_meta or tensor.layout != torch.strided or tensor.is_quantized:
        return None
    storage = tensor.untyped_storage()
    return Place(storage.data_ptr(), storage.nbytes(), (tensor.storage_offset(), *tensor.stride()))


def type_name(dtype: torch.dtype) -> str:
    """`torch.float8_e5m2` becomes `float8e5m2`; most others only lose their prefix."""
    plain = str(dtype).removeprefix("torch.")
    return _TORCH_TYPES.get(plain, plain)


def _shards(folder: Path, index: Path) -> tuple[Path, ...]:
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        # The names are untrusted, and the library would follow them anywhere.
        if elsewhere := [name for name in names if Path(name).name != name]:
            raise WeightsMissing(names=f"files beside {index.name}, which names {elsewhere[0]!r}")
        shards = tuple(folder / name for name in names)
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise WeightsMissing(names=f"an index that can be read: {index.name} cannot") from error
    missing = [shard.name for shard in shards if not shard.is_file()]
    if missing or not shards:
        raise ShardsMissing(index=index.name, count=len(shards), missing=", ".join(missing[:5]) or "all of them")
    return shards


def read_safetensors(file: Path) -> dict[str, StoredTensor]:
    """The contents of a file, by name. Raises `ModelTruncated`."""
    try:
        with safe_open(str(file), framework="numpy") as opened:
            slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118 - not a mapping
            return {
                name: StoredTensor(_SAFETENSORS_TYPES.get(part.get_dtype(), part.get_dtype()), tuple(part.get_shape()))
                for name, part in slices.items()
            }
    except (SafetensorError, OSError) as error:
        raise ModelTruncated(reason=f"{file.name} is not a complete safetensors file ({error})") from error


def _checkpoint(file: Path) -> dict[str, StoredTensor]:
    return described(pickles.load_weights(file, device=pickles.OUTLINE))


def read_collections(file: Path) -> dict[str, dict[str, StoredTensor]]:
    """Every collection of named tensors in a file, by its location. Raises the errors of `read_weights`."""
    if file.suffix == ".safetensors":
        return {"": read_safetensors(file)}
    return {where: described(tensors) for where, tensors in pickles.load_collections(file, pickles.OUTLINE).items()}
