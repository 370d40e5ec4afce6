"""torchao's int8 quantization of the linear layers of a transformers folder. Option: `config`, a class of torchao.

https://docs.pytorch.org/ao/stable/
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import torchao.quantization
import transformers

from benchmarks.peers.makers.job import Job, asked


def make(job: Job) -> None:
    source, made = job.folder / "source", job.folder / "made"
    with zipfile.ZipFile(job.model) as archive:
        archive.extractall(source)
    kind = getattr(transformers, transformers.AutoConfig.from_pretrained(source).architectures[0])
    config = transformers.TorchAoConfig(getattr(torchao.quantization, job.options["config"])())
    model = kind.from_pretrained(source, quantization_config=config, device_map={"": "cpu"}, local_files_only=True)
    model.save_pretrained(made)
    job.done(packed(made, source, job.folder / "model.zip"), "transformers", "torchao", "transformers", "torch")


def packed(made: Path, source: Path, path: Path) -> Path:
    """The files of `made`, and of `source` those of the tokenizer, in one archive."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for one in sorted(made.iterdir()):
            archive.write(one, one.name)
        for one in sorted(source.glob("*token*")):
            if not (made / one.name).exists():
                archive.write(one, one.name)
    return path


if __name__ == "__main__":
    make(asked())
