"""The package of a PyTorch model runs where nothing but the libraries is installed."""

from __future__ import annotations

import re
import runpy
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from awq.utils.packing_utils import dequantize_gemm
from safetensors.torch import save_file
from transformers import BitsAndBytesConfig, LlamaForCausalLM

from apps.agents.backends.torch.engine import TorchEngine
from apps.agents.contracts.criteria import Target
from apps.agents.contracts.formats import Format
from apps.agents.packaging.examples import PackageExamples
from apps.agents.packaging.package import BACKENDS, DOCUMENTS, Content, build_package
from apps.agents.packaging.script import flat
from tests.agents.cards import card
from tests.agents.torch_uploads import (
    described_zip,
    exported_file,
    folder_zip,
    llama_folder,
    scripted_file,
    word_tokenizer,
)

pytestmark = pytest.mark.slow

Told = Callable[..., str]
Make = Callable[[Path], Path]
PICTURES = {"x": np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)}
TOKENS = {"input_ids": np.arange(10).reshape(2, 5), "attention_mask": np.ones((2, 5), np.int64)}


def unpacked(model: Path, kind: str, folder: Path) -> Path:
    """The package of `model`, opened; building it has run its script on examples and compared the outputs."""
    for name in ("work", "out"):
        (folder / name).mkdir()
    for name in DOCUMENTS.values():
        (folder / name).write_text(name)
    documents = {role: folder / name for role, name in DOCUMENTS.items()}
    engine = TorchEngine(model, folder / "work")
    inputs = TOKENS if kind is Format.TRANSFORMERS else PICTURES
    named = dict(zip([spec.name for spec in engine.summary.inputs], inputs.values(), strict=True))
    outputs = engine.session(Target())(named)
    names = [spec.name for spec in engine.summary.outputs]
    examples = PackageExamples(named, flat(dict(zip(names, outputs, strict=True))), own=True, rows=2)
    packed = build_package(Content(model, "net", kind, documents, card(), examples), folder / "work", folder / "out")
    assert packed.finding is None
    with zipfile.ZipFile(packed.path) as archive:
        archive.extractall(folder / "package")
    return folder / "package"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Told:
    """What the script prints with these arguments; in this process, which has loaded the libraries already."""
    monkeypatch.setattr(sys, "path", list(sys.path))

    def run(package: Path, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["run.py", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(package / "run.py"), run_name="__main__")
        assert not ended.value.code
        return capsys.readouterr().out

    return run


def first_numbers(told: Told, package: Path, feeds: dict[str, Any]) -> list[float]:
    np.savez(package.parent / "mine.npz", **feeds)
    printed = re.search(r"\[([^\]]+)\]", told(package, str(package.parent / "mine.npz")))
    assert printed is not None
    return [float(word) for word in printed[1].split()]


def expected(model: Path, feeds: dict[str, Any], scratch: Path) -> list[float]:
    return TorchEngine(model, scratch).session(Target())(feeds)[0].ravel()[:8].tolist()


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (exported_file, Format.TORCH_EXPORT),
        (scripted_file, Format.TORCHSCRIPT),
        (described_zip, Format.STATE_DICT),
    ],
    ids=["exported", "scripted", "described"],
)
def test_a_packaged_network_gives_what_was_measured(
    make: Callable[[Path], Path], kind: Format, tmp_path: Path, told: Told
) -> None:
    model = make(tmp_path / "model")
    package = unpacked(model, kind, tmp_path)
    assert first_numbers(told, package, PICTURES) == pytest.approx(expected(model, PICTURES, tmp_path), abs=1e-3)


def test_a_packaged_language_model_that_is_quantized_reads_and_writes(tmp_path: Path, told: Told) -> None:
    folder = llama_folder(tmp_path / "llama")
    config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32)
    quantized = LlamaForCausalLM.from_pretrained(folder, quantization_config=config, device_map={"": "cpu"})
    quantized.save_pretrained(tmp_path / "nf4")
    model = folder_zip(word_tokenizer(tmp_path / "nf4"), tmp_path / "nf4.zip", inside="llama/")
    package = unpacked(model, Format.TRANSFORMERS, tmp_path)
    assert first_numbers(told, package, TOKENS) == pytest.approx(expected(model, TOKENS, tmp_path), abs=1e-3)
    assert told(package, "--prompt", "w1 w2 w3").startswith("w1 w2 w3 ")
    readme = (package / "README.txt").read_text()
    assert all(word in readme for word in ("transformers==", "bitsandbytes==", "accelerate==", "--prompt"))


def test_the_script_unpacks_awq_as_the_library_does(tmp_path: Path) -> None:
    rows, columns, group = 64, 32, 16
    generator = torch.Generator().manual_seed(0)

    def words(*shape: int) -> torch.Tensor:
        return torch.randint(-(2**31), 2**31 - 1, shape, dtype=torch.int32, generator=generator)

    packed = {
        "qweight": words(rows, columns // 8),
        "qzeros": words(rows // group, columns // 8),
        "scales": torch.rand(rows // group, columns, generator=generator).half(),
    }
    (tmp_path / "model").mkdir()
    shutil.copyfile(BACKENDS / "torch/run.py", tmp_path / "run.py")
    save_file({f"layer.{name}": tensor for name, tensor in packed.items()}, tmp_path / "model" / "model.safetensors")
    script = runpy.run_path(str(tmp_path / "run.py"))
    wanted = dequantize_gemm(packed["qweight"], packed["qzeros"], packed["scales"], 4, group).T
    assert torch.equal(script["unpacked"](group)["layer.weight"], wanted)
