"""Sparsity as a technique: exact patterns in the artifact of every format, better than by magnitude, and refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from apps.agents.backends.torch.loading import load_model
from apps.agents.contracts.errors.techniques import (
    TechniqueInvalidOutput,
    TechniqueParameters,
    TechniquePattern,
    TechniqueQuantizedModel,
    TechniqueWithoutCalibration,
)
from apps.agents.techniques.base import Optimized, agent_for
from tests.agents import torch_uploads
from tests.agents.small_llamas import LINEAR, llama_zip, rows
from tests.agents.workshop import FIDELITY, Workshop, sqnr_db

MAGNITUDE, WANDA, SPARSE_GPT = "torch-magnitude", "torch-wanda", "torch-sparsegpt"
METHODS = (MAGNITUDE, WANDA, SPARSE_GPT)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("sparsity"), "transformers")


@pytest.fixture(scope="module")
def llama(workshop: Workshop) -> Path:
    return llama_zip(workshop.root / "llama")


@pytest.fixture(scope="module")
def tokens(workshop: Workshop) -> Path:
    return workshop.examples(**rows())


@pytest.fixture(scope="module")
def pairs(workshop: Workshop, llama: Path, tokens: Path) -> dict[str, Optimized]:
    """2:4 by each method."""
    return {name: workshop.apply(name, llama, tokens, FIDELITY, pattern="2:4") for name in METHODS}


def weights(made: Optimized, workshop: Workshop) -> dict[str, Tensor]:
    """Of the linear layers of the blocks."""
    named = load_model(made.artifact, workshop.root).module.named_parameters()
    return {name: weight.detach() for name, weight in named if "proj" in name}


@pytest.mark.parametrize("name", METHODS)
def test_two_of_every_four_weights_are_zero_and_nothing_else(
    workshop: Workshop, llama: Path, pairs: dict[str, Optimized], name: str
):
    found = weights(pairs[name], workshop)
    assert all(((weight.reshape(-1, 4) == 0).sum(1) == 2).all() for weight in found.values())
    before = dict(load_model(llama, workshop.root).module.named_parameters())
    after = dict(load_model(pairs[name].artifact, workshop.root).module.named_parameters())
    assert all(torch.equal(before[other], after[other]) for other in before.keys() - found.keys())
    told = " ".join(pairs[name].result.checks)
    assert "50.00% of the weights in 14 layers are zero (two of every four neighbours)" in told
    assert f"{before_count(before) - LINEAR // 2:,} of {before_count(before):,} parameters" in told


def before_count(parameters: dict[str, torch.nn.Parameter]) -> int:
    return sum(weight.numel() for weight in parameters.values())


def test_calibrated_methods_preserve_the_outputs_better(pairs: dict[str, Optimized]):
    assert sqnr_db(pairs[SPARSE_GPT]) > sqnr_db(pairs[WANDA]) > sqnr_db(pairs[MAGNITUDE])


def test_the_file_stays_as_large_and_its_download_shrinks(pairs: dict[str, Optimized]):
    result = pairs[WANDA].result
    assert result.size_bytes == pytest.approx(result.input_size_bytes, rel=0.01)
    assert result.sizes["deflate"] < 0.75 * result.sizes["dense"]
    assert "million multiply-accumulates are left (0% removed)" in " ".join(result.checks)


def test_repeating_it_gives_the_same_bytes(workshop: Workshop, llama: Path, tokens: Path, pairs):
    again = workshop.apply(SPARSE_GPT, llama, tokens, FIDELITY, pattern="2:4")
    assert again.result.digest == pairs[SPARSE_GPT].result.digest


def test_shares_by_sensitivity_differ_and_add_up(workshop: Workshop, llama: Path, tokens: Path):
    made = workshop.apply(WANDA, llama, tokens, FIDELITY, sparsity=0.5, allocation="sensitivity")
    found = weights(made, workshop)
    shares = {name: float((weight == 0).float().mean()) for name, weight in found.items()}
    assert max(shares.values()) > 0.52 > 0.48 > min(shares.values())
    assert sum(int((weight == 0).sum()) for weight in found.values()) == pytest.approx(LINEAR / 2, rel=0.01)


def test_all_layers_together_share_one_threshold(workshop: Workshop, llama: Path, tokens: Path):
    made = workshop.apply(MAGNITUDE, llama, tokens, FIDELITY, sparsity=0.4, scope="global")
    found = weights(made, workshop)
    assert sum(int((weight == 0).sum()) for weight in found.values()) == round(0.4 * LINEAR)
    kept = min(float(weight[weight != 0].abs().min()) for weight in found.values())
    original = dict(load_model(llama, workshop.root).module.named_parameters())
    gone = max(float(original[name].detach()[weight == 0].abs().max()) for name, weight in found.items())
    assert gone <= kept


@pytest.mark.parametrize("format", ["state-dict", "torch-export"])
def test_networks_of_other_formats_become_sparse_too(tmp_path: Path, format: str):  # noqa: A002
    upload = {"state-dict": torch_uploads.described_zip, "torch-export": torch_uploads.exported_file}[format]
    workshop = Workshop(tmp_path, format)
    pictures = workshop.examples(x=np.random.default_rng(0).normal(size=(64, 3, 8, 8)).astype(np.float32))
    model = upload(tmp_path / "model")
    made = workshop.apply(MAGNITUDE, model, pictures, FIDELITY, sparsity=0.5)
    assert made.result.evidence["zeros_share"]["convolution"] == 0.5
    made = workshop.apply(SPARSE_GPT, model, pictures, FIDELITY, pattern="2:4")
    assert list(made.result.evidence["zeros_share"]) == ["head"]
    assert sqnr_db(made) > 5


# --- refusals --------------------------------------------------------------------------------------------------------


def test_rows_that_do_not_divide_are_refused_by_the_layers_name(workshop: Workshop, tokens: Path):
    odd = llama_zip(workshop.root / "odd", intermediate_size=130)
    with pytest.raises(TechniquePattern, match=r"layer model\.layers\.0\.mlp\.down_proj have 130 weights"):
        workshop.apply(SPARSE_GPT, odd, tokens, FIDELITY, pattern="2:4")
    names = [f"model.layers.{block}.mlp.down_proj" for block in range(2)]
    made = workshop.apply(MAGNITUDE, odd, tokens, FIDELITY, pattern="2:4", keep_dense=names)
    assert names[0] not in made.result.evidence["zeros_share"]


def test_modules_that_do_not_exist_cannot_stay_dense(workshop: Workshop, llama: Path, tokens: Path):
    with pytest.raises(TechniqueParameters, match=r"does not have the modules model\.layers\.9 to keep dense"):
        workshop.apply(MAGNITUDE, llama, tokens, FIDELITY, keep_dense=["model.layers.9"])


@pytest.mark.parametrize("name", [WANDA, SPARSE_GPT])
def test_missing_calibration_examples_are_refused(workshop: Workshop, llama: Path, name: str):
    few = workshop.examples(**rows(examples=4))
    with pytest.raises(TechniqueWithoutCalibration, match="sets none apart"):
        workshop.apply(name, llama, few, FIDELITY)


def test_a_quantized_model_is_refused(workshop: Workshop, llama: Path, tokens: Path):
    packed = workshop.apply("torch-bitsandbytes", llama, tokens, FIDELITY, type="int8").artifact
    with pytest.raises(TechniqueQuantizedModel, match="quantize afterwards"):
        workshop.apply(MAGNITUDE, packed, tokens, FIDELITY)


def test_an_artifact_with_one_weight_too_many_is_removed(workshop: Workshop, llama: Path, tokens: Path, monkeypatch):
    assignment = workshop.assignment(MAGNITUDE, llama, tokens, FIDELITY, pattern="2:4")
    monkeypatch.setattr("apps.agents.backends.torch.sparsity.methods.by_magnitude", lambda *_, **__: None)
    with pytest.raises(TechniqueInvalidOutput, match=r"in layer model\.layers\.0\.self_attn\.q_proj, 1,024 of its"):
        workshop.run(assignment, agent_for(assignment.spec))
    assert list(assignment.out.iterdir()) == []
