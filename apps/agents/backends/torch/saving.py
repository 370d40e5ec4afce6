"""Writes PyTorch artifacts in the model's original format: without traces of the machine, reproducible to the byte."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

from safetensors.torch import save_file

from apps.agents.backends.torch.description import Description, read_description
from apps.agents.backends.torch.exported import save_exported
from apps.agents.backends.torch.model import TorchModel
from apps.agents.backends.torch.opening import CONFIGURATION, DESCRIPTION
from apps.agents.backends.torch.pretrained import is_pretrained
from apps.agents.backends.torch.scripted import save_scripted
from apps.agents.backends.torch.state_dict import SUFFIXES, StateDictFolder, shared_names
from apps.agents.backends.torch.stored import SAFETENSORS
from apps.agents.contracts.errors.torch_models import DescriptionInvalid
from apps.agents.contracts.formats import Format
from apps.agents.files.reproducible_zip import write_zip

_TOKENIZER = re.compile(
    r"tokenizer.*\.json|special_tokens_map\.json|added_tokens\.json|vocab\.(json|txt)|merges\.txt"
    r"|(tokenizer|spiece|sentencepiece\.bpe)\.model|chat_template\.(json|jinja)|preprocessor_config\.json"
)
_LEFT_BEHIND = (*SUFFIXES, ".pyc")
_LARGEST_SHARD = "50GB"


def save_model(model: TorchModel, out: Path) -> Path:
    """Write `model` to the folder `out` in its own format. Returns the file."""
    match model.format:
        case Format.TRANSFORMERS:
            return save_transformers(model, out)
        case Format.STATE_DICT:
            return save_state_dict(model, out)
        case Format.TORCH_EXPORT:
            return save_exported(model, out / "model.pt2")
        case Format.TORCHSCRIPT:
            return save_scripted(model, out / "model.pt")
        case _:
            raise ValueError(f"{model.format} is not a PyTorch format")


def save_transformers(model: TorchModel, out: Path) -> Path:
    """Write a transformers model with its tokenizer to `out` as `model.zip`."""
    if not is_pretrained(model.module):
        raise TypeError(f"{type(model.module).__name__} is not a transformers model")
    with tempfile.TemporaryDirectory(dir=out.parent, prefix="saving-") as kept:
        config = model.module.config
        settings = json.loads((model.folder / CONFIGURATION).read_text(encoding="utf-8"))
        config.use_cache = settings.get("use_cache", True)  # Loading disabled it.
        try:
            model.module.save_pretrained(kept, max_shard_size=_LARGEST_SHARD)
        finally:
            config.use_cache = False
        return pack_folder(Path(kept), model.folder, out)


def save_state_dict(model: TorchModel, out: Path) -> Path:
    """Write weights as safetensors, and the other files unchanged, to `out` as `model.zip`.

    Tied weights are written once, and `lathe.toml` names the new file in place of the old one.
    """
    folder = StateDictFolder(model.folder)
    shared = shared_names(model.module)
    tensors = {name: tensor for name, tensor in model.module.state_dict().items() if name not in shared}
    others = (path for path in sorted(model.folder.rglob("*")) if path.is_file() and path.suffix not in _LEFT_BEHIND)
    entries = {path.relative_to(model.folder).as_posix(): path for path in others}
    with tempfile.TemporaryDirectory(dir=out.parent, prefix="saving-") as kept:
        weights, description = Path(kept) / SAFETENSORS, Path(kept) / DESCRIPTION
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, weights)
        description.write_text(_renamed((model.folder / DESCRIPTION).read_text(encoding="utf-8")), encoding="utf-8")
        _check_renamed(read_description(Path(kept)), folder.description)
        entries |= {SAFETENSORS: weights, DESCRIPTION: description}
        return write_zip(out / "model.zip", sorted(entries.items()), compress=False)


def _check_renamed(written: Description, original: Description) -> None:
    """Raise `DescriptionInvalid` if the new file name was not inserted, or anything else changed."""
    any_name = {"weights": None}
    if written.weights not in (None, SAFETENSORS) or written.model_copy(update=any_name) != original.model_copy(
        update=any_name
    ):
        reason = 'weights = "…" must be on a separate line before the first table, because it is rewritten there'
        raise DescriptionInvalid(reason=reason)


def _renamed(description: str) -> str:
    """Replace the weights' old name, among the keys before the first table, by the new one."""
    head, bracket, tables = description.partition("\n[")
    return re.sub(r"(?m)^(\s*weights\s*=\s*)([\"']).*?\2", rf'\1"{SAFETENSORS}"', head) + bracket + tables


def pack_folder(folder: Path, tokenizer_folder: Path, out: Path) -> Path:
    """Write the files of `folder`, saved by transformers or a quantizer, with a tokenizer to `out/model.zip`.

    Tokenizer files are copied unchanged from `tokenizer_folder`, the original's folder.
    """
    assert (folder / CONFIGURATION).is_file(), f"{sorted(path.name for path in folder.iterdir())} has no configuration"
    files = {path.name: path for path in sorted(folder.iterdir()) if path.is_file()}
    kept = {path.name: path for path in tokenizer_folder.iterdir() if _TOKENIZER.fullmatch(path.name)}
    entries = sorted({**files, **kept}.items())
    return write_zip(out / "model.zip", entries, compress=False)
