"""Checkpoints from torch.save: read with `weights_only`, and examined without unpickling anything.

A pickle is a program. Its opcodes name the classes and functions that it would call; they are read here as data.
"""

from __future__ import annotations

import pickle
import pickletools
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, cast

import torch

from apps.agents.contracts.errors.models import ModelTruncated
from apps.agents.contracts.errors.torch_models import PickledModule, PickleRefused, StateDictExpected
from apps.agents.files.archives import DAMAGE

LONGEST_PICKLE_BYTES = 64 * 1024 * 1024
"""Limit for a checkpoint's structure; its numbers are stored elsewhere in the file."""
_HARMLESS = re.compile(
    r"collections (OrderedDict|defaultdict|Counter)"
    r"|torch(\._tensor|\._utils|\.storage|\.serialization|\.nn\.parameter)? "
    r"(_rebuild\w*|Tensor|Parameter|\w*Storage|Size|dtype|device|float\d+|bfloat16|u?int\d+|bool|_get_layout)"
    r"|torch\.float8\S* \S+"
)


OUTLINE = "outline"
"""Used in place of a device: requests shapes, types and shared storage, but no numbers."""
USUAL = ("state_dict", "model_state_dict", "model")
"""Where training frameworks keep the weights in a checkpoint."""
_DEEPEST = 4


def load_weights(file: Path, *, device: str = "cpu") -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint, or of the `state_dict` or `model` inside it, by name.

    Raises `PickledModule` if the file contains a whole module, `PickleRefused` if it calls anything else that weights
    do not need, `StateDictExpected` if it has no named tensors, and `ModelTruncated` if it is damaged.
    """
    return _state_dict(_content(file, device), file)


def load_collections(file: Path, device: str = "cpu") -> dict[str, dict[str, torch.Tensor]]:
    """Every dictionary with named tensors in a checkpoint, by the keys that lead to it, joined by dots.

    The usual places come first, averaged copies last, and an optimizer's state is left out. Other values next to the
    tensors are ignored. Raises the errors of `load_weights`.
    """
    content = _content(file, device)
    found = dict(_collections(content, ()))
    if not found:
        raise StateDictExpected(file=file.name, found=f"it contains a {type(content).__name__} without named tensors")
    return {where: found[where] for where in sorted(found, key=_rank)}


def _rank(where: str) -> int:
    """Usual places first, averaged copies last."""
    return 0 if where in ("", *USUAL) else 2 if "ema" in where.lower() else 1


def _collections(content: Any, path: tuple[str, ...]) -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
    if not isinstance(content, Mapping) or len(path) > _DEEPEST or any("optim" in key.lower() for key in path):
        return
    tensors = {name: value for name, value in content.items() if isinstance(name, str) and torch.is_tensor(value)}
    if tensors:
        yield ".".join(path), tensors
    for name, value in content.items():
        yield from _collections(value, (*path, str(name)))


def _content(file: Path, device: str) -> Any:
    try:
        return _read(file, device)
    except pickle.UnpicklingError as error:
        refuse_pickle(file)
        raise PickleRefused(file=file.name, wanted=_first_line(error)) from error
    except (RuntimeError, *DAMAGE) as error:
        refuse_pickle(file)
        raise ModelTruncated(reason=f"{file.name} is not a complete checkpoint ({_first_line(error)})") from error


def _read(file: Path, device: str) -> Any:
    """For an outline, map the file if possible: tensors on the device `meta` no longer share storage."""
    if device != OUTLINE:
        return torch.load(file, weights_only=True, map_location=device)
    if zipfile.is_zipfile(file):
        try:
            return torch.load(file, weights_only=True, map_location="cpu", mmap=True)
        except RuntimeError:  # Cannot be mapped, or is damaged: the usual reader reports it.
            pass
    return torch.load(file, weights_only=True, map_location="meta")


def refuse_pickle(file: Path) -> None:
    """Raise `PickledModule` or `PickleRefused` if the pickle in `file` calls more than weights need."""
    with file.open("rb") as opened:
        wanted = unexpected_globals(opened)
    if not wanted:
        return
    named = wanted[0].replace(" ", ".")
    if any(re.match(r"torch\.(nn\.modules|fx|jit)|__main__ ", name) or "odule" in name for name in wanted):
        raise PickledModule(file=file.name, wanted=named)
    raise PickleRefused(file=file.name, wanted=named)


def unexpected_globals(file: IO[bytes]) -> list[str]:
    """Those of `globals_of` that weights do not need."""
    return [name for name in globals_of(file) if not _HARMLESS.fullmatch(name)]


def globals_of(file: IO[bytes]) -> list[str]:
    """The classes and functions that the pickles in `file` name, as `module name`, without unpickling it."""
    names: list[str] = []
    for pickled in _pickles(file):
        try:
            names += _globals(pickled)
        except ValueError:
            continue
    return list(dict.fromkeys(names))


def _pickles(file: IO[bytes]) -> Iterator[bytes]:
    """The pickles of a checkpoint: `data.pkl` of a zip, or the sequence in the old format."""
    if zipfile.is_zipfile(file):
        try:
            with zipfile.ZipFile(file) as archive:
                for info in archive.infolist():
                    if info.filename.endswith("data.pkl") and info.file_size <= LONGEST_PICKLE_BYTES:
                        yield archive.read(info)
        except DAMAGE:
            return
        return
    file.seek(0)
    content = file.read(LONGEST_PICKLE_BYTES)
    while content[:1] and (length := _length_of(content)):
        yield content[:length]
        content = content[length:]


def _length_of(content: bytes) -> int:
    try:
        positions = (position for opcode, _, position in pickletools.genops(content) if opcode.name == "STOP")
        return (next(positions) or 0) + 1
    except (ValueError, StopIteration):
        return 0


def _globals(pickled: bytes) -> Iterator[str]:
    """Protocol 4 takes the two names from the stack, where they are pushed as strings or from the memo."""
    pushed: list[str | None] = [None, None]
    memo: dict[int, str | None] = {}
    for opcode, argument, _ in pickletools.genops(pickled):
        match opcode.name:
            case "GLOBAL" | "INST":
                yield str(argument)
                pushed.append(None)
            case "STACK_GLOBAL":
                yield f"{pushed[-2]} {pushed[-1]}"
                pushed.append(None)
            case "MEMOIZE":
                memo[len(memo)] = pushed[-1]
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                memo[cast("int", argument)] = pushed[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                pushed.append(memo.get(cast("int", argument)))
            case _:
                pushed.append(argument if isinstance(argument, str) else None)


def _state_dict(content: Any, file: Path) -> dict[str, torch.Tensor]:
    """The weights, which training frameworks store under a key of their checkpoint."""
    for key in USUAL:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    tensors = {str(name): value for name, value in content.items()} if isinstance(content, dict) else {}
    strangers = [name for name, value in tensors.items() if not isinstance(value, torch.Tensor)]
    if not tensors or strangers:
        found = f"{strangers[0]!r} is not a tensor" if strangers else f"it contains a {type(content).__name__}"
        raise StateDictExpected(file=file.name, found=found)
    return tensors


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300].rstrip(". ")
