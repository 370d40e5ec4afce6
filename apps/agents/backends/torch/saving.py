"""Writing PyTorch artifacts in the format the model came in: no traces of the machine, the same bytes every time."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

from transformers import PreTrainedModel

from apps.agents.backends.torch.model import TorchModel
from apps.agents.backends.torch.opening import CONFIGURATION
from apps.agents.errors import ModelWrongType
from apps.agents.formats import Format
from apps.agents.reproducible_zip import write_zip

_TOKENIZER = re.compile(
    r"tokenizer.*\.json|special_tokens_map\.json|added_tokens\.json|vocab\.(json|txt)|merges\.txt"
    r"|(tokenizer|spiece|sentencepiece\.bpe)\.model|chat_template\.(json|jinja)|preprocessor_config\.json"
)
_LARGEST_SHARD = "50GB"


def save_model(model: TorchModel, out: Path) -> Path:
    """Write `model` to the folder `out` in its own format; the file written."""
    match model.format:
        case Format.TRANSFORMERS:
            return save_transformers(model, out)
        case _:
            raise ModelWrongType(found=model.format, wanted="a transformers folder")


def save_transformers(model: TorchModel, out: Path) -> Path:
    """Write a transformers model with its tokenizer to `out` as `model.zip`."""
    assert isinstance(model.module, PreTrainedModel)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix="saving-") as kept:
        config = model.module.config
        settings = json.loads((model.folder / CONFIGURATION).read_text(encoding="utf-8"))
        config.use_cache = settings.get("use_cache", True)  # Loading switched it off.
        try:
            model.module.save_pretrained(kept, max_shard_size=_LARGEST_SHARD)
        finally:
            config.use_cache = False
        return pack_folder(Path(kept), model.folder, out)


def pack_folder(folder: Path, tokenizer_folder: Path, out: Path) -> Path:
    """Write the files of `folder`, which transformers or a quantizer has saved, with a tokenizer to `out/model.zip`.

    Tokenizer files come from `tokenizer_folder`, where the original lies, byte for byte.
    """
    assert (folder / CONFIGURATION).is_file(), f"{sorted(path.name for path in folder.iterdir())} has no configuration"
    files = {path.name: path for path in sorted(folder.iterdir()) if path.is_file()}
    kept = {path.name: path for path in tokenizer_folder.iterdir() if _TOKENIZER.fullmatch(path.name)}
    entries = sorted({**files, **kept}.items())
    return write_zip(out / "model.zip", entries, compress=False)
