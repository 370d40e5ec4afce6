"""Half precision in every PyTorch format: half the bytes, the same interface, and overflow refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from apps.agents.contracts.errors.techniques import TechniqueInvalidOutput, TechniqueNotApplicable
from apps.agents.contracts.reports.model import TensorSpec
from apps.agents.files.reproducible_zip import write_zip
from apps.agents.measuring.engine import open_engine
from tests.agents import torch_models, torch_uploads
from tests.agents.workshop import FIDELITY, Workshop, sqnr_db

UPLOADS: dict[str, Callable[[Path], Path]] = {
    "state-dict": lambda folder: torch_uploads.described_zip(folder / "model.zip"),
    "torch-export": lambda folder: torch_uploads.exported_file(folder / "model"),
    "torchscript": lambda folder: torch_uploads.scripted_file(folder / "model.pt"),
}


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("format", UPLOADS)
def test_a_network_takes_half_the_bytes_and_keeps_its_interface(tmp_path: Path, format: str, dtype: str):  # noqa: A002
    workshop = Workshop(tmp_path, format)
    pictures = workshop.examples(x=np.random.default_rng(0).normal(size=(24, 3, 8, 8)).astype(np.float32))
    made = workshop.apply("torch-half", UPLOADS[format](tmp_path), pictures, FIDELITY, dtype=dtype)
    after = open_engine(format, made.artifact, tmp_path).summary
    assert after.inputs == (TensorSpec(name="x", dtype="float32", shape=("batch", 3, 8, 8)),)
    assert {spec.dtype for spec in after.outputs} == {"float32"}
    assert after.weight_dtypes[dtype] >= 0.9 * sum(after.weight_dtypes.values())
    assert 30 < sqnr_db(made) < 120
    assert "The weights take" in " ".join(made.result.checks)


def test_a_language_model_is_read_back_in_halves_and_is_not_halved_again(tmp_path: Path):
    workshop = Workshop(tmp_path, "transformers")
    texts = workshop.examples(**torch_models.tokens())
    made = workshop.apply("torch-half", torch_models.llama_archive(tmp_path), texts, FIDELITY)
    after = open_engine("transformers", made.artifact, tmp_path).summary
    assert set(after.weight_dtypes) == {"bfloat16"}
    assert made.result.input_size_bytes / made.result.size_bytes > 1.7
    assert sqnr_db(made) > 30
    again = workshop.apply("torch-half", torch_models.llama_archive(tmp_path / "again"), texts, FIDELITY)
    assert again.artifact.read_bytes() == made.artifact.read_bytes()
    with pytest.raises(TechniqueNotApplicable, match="none of its weights"):
        workshop.apply("torch-half", made.artifact, texts, FIDELITY)


def test_numbers_beyond_the_range_of_float16_are_refused_and_bfloat16_bears_them(tmp_path: Path):
    torch.manual_seed(torch_models.SEED)
    module = LlamaForCausalLM(LlamaConfig(**torch_models.TINY_LLAMA)).eval()
    with torch.no_grad():
        module.model.norm.weight.mul_(1e7)
    module.save_pretrained(tmp_path / "large")
    files = sorted((tmp_path / "large").iterdir())
    archive = write_zip(tmp_path / "large.zip", [(file.name, file) for file in files], compress=False)
    workshop = Workshop(tmp_path, "transformers")
    texts = workshop.examples(**torch_models.tokens())
    with pytest.raises(TechniqueInvalidOutput, match="NaN or infinite values where the input model has none"):
        workshop.apply("torch-half", archive, texts, FIDELITY, dtype="float16")
    assert sqnr_db(workshop.apply("torch-half", archive, texts, FIDELITY, dtype="bfloat16")) > 30
