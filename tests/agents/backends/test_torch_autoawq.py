"""autoawq on small Llamas: its scaling alone changes nothing, and its packed layers come back as the same numbers."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
import torch
from awq.models._config import AwqConfig
from awq.modules.linear import gemm
from awq.modules.linear.gemm import WQLinear_GEMM
from awq.quantize.quantizer import AwqQuantizer
from safetensors.torch import load_file, save_file
from torch import nn

from apps.agents.backends.torch.autoawq import MendedQuantizer, load, quantize, unpacked
from apps.agents.backends.torch.loading import load_model
from apps.agents.backends.torch.transformers_folder import TransformersFolder
from apps.agents.contracts.errors.running import ModelNotLoadable
from apps.agents.contracts.errors.techniques import TechniqueNotApplicable
from apps.agents.measuring.engine import open_engine
from apps.agents.techniques.base import Optimized
from apps.agents.techniques.library_calls import quiet
from tests.agents import torch_models
from tests.agents.small_llamas import LINEAR, batch, llama_zip, rows
from tests.agents.workshop import FIDELITY, Workshop, sqnr_db


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("autoawq"), "transformers")


@pytest.fixture(scope="module")
def model(workshop: Workshop) -> Path:
    return llama_zip(workshop.root / "llama")


@pytest.fixture(scope="module")
def data(workshop: Workshop) -> Path:
    return workshop.examples(**rows())


@pytest.fixture(scope="module")
def made(workshop: Workshop, model: Path, data: Path) -> Optimized:
    return workshop.apply("torch-autoawq", model, data, FIDELITY, calibration_examples=16)


def _change_by_scaling(workshop: Workshop, model: Path, quantizer: type[AwqQuantizer]) -> float:
    """The largest change of a logit by autoawq's scales alone, as a share of the largest logit."""
    opened = load_model(model, workshop.root)
    feeds = batch()
    before = opened.call(feeds)[0].detach()
    calibration = [{"input_ids": row[None]} for row in batch(8)["input_ids"]]
    with quiet():
        settings = AwqConfig(q_group_size=32, modules_to_not_convert=["lm_head"])
        quantize(opened.module, settings, calibration, scaling_only=True, quantizer=quantizer)
    opened.module.to("cpu")  # The library works where CUDA is.
    changed = {name: part for name, part in opened.module.named_parameters() if "layernorm" in name}
    assert not torch.equal(changed["model.layers.0.input_layernorm.weight"], _norm(workshop, model))
    return ((opened.call(feeds)[0] - before).abs().max() / before.abs().max()).item()


def _norm(workshop: Workshop, model: Path) -> torch.Tensor:
    return load_model(model, workshop.root).module.get_parameter("model.layers.0.input_layernorm.weight")


def test_scaling_without_rounding_is_the_original_to_float_precision(workshop: Workshop, model: Path):
    assert _change_by_scaling(workshop, model, MendedQuantizer) < 1e-5


@pytest.mark.skipif(torch.cuda.is_available(), reason="on CUDA the library copies the weights, and is right")
def test_the_library_as_it_comes_spoils_the_model_on_a_cpu(workshop: Workshop, model: Path):
    """Where this fails the library has been mended, and `MendedQuantizer._compute_best_scale` can go."""
    assert _change_by_scaling(workshop, model, AwqQuantizer) > 1e-3


def test_linear_layers_are_packed_and_read_back_as_floats(workshop: Workshop, made: Optimized):
    assert sqnr_db(made) > 12
    summary = open_engine("transformers", made.artifact, workshop.root).summary
    assert summary.quantization == "awq 4 bit, groups of 32"
    assert summary.weight_dtypes["uint4"] == LINEAR
    assert "The embedding table (6,144 weights, tied to the output head) stays in float32." in made.result.checks
    module = load_model(made.artifact, workshop.root).module
    assert {type(part) for name, part in module.named_modules() if name.endswith("_proj")} == {nn.Linear}


def test_the_unpacked_layer_computes_what_the_packed_one_does(monkeypatch: pytest.MonkeyPatch):
    """By the library's own product for processors, which it takes where it finds no kernels for CUDA."""
    monkeypatch.setattr(gemm, "TRITON_AVAILABLE", False)
    packed = WQLinear_GEMM(4, 32, 64, 16, True, "cpu").eval()
    random = torch.Generator().manual_seed(0)
    for buffer in (packed.qweight, packed.qzeros):
        buffer.copy_(torch.randint(-(2**31), 2**31 - 1, buffer.shape, generator=random, dtype=torch.int32))
    packed.scales.copy_(torch.rand(packed.scales.shape, generator=random) * 0.01)
    packed.bias.copy_(torch.randn(packed.bias.shape, generator=random))
    plain = nn.Linear(64, 16, dtype=torch.float16)
    plain.load_state_dict(unpacked(packed))
    identity = torch.eye(64, dtype=torch.float16)[None]
    with torch.no_grad(), quiet():
        assert torch.equal(plain(identity), packed(identity))


def test_the_same_work_gives_the_same_bytes(workshop: Workshop, model: Path, data: Path, made: Optimized):
    again = workshop.apply("torch-autoawq", model, data, FIDELITY, calibration_examples=16)
    assert again.result.digest == made.result.digest


def test_without_zero_points_the_middle_of_the_grid_stands_for_them(workshop: Workshop, model: Path, data: Path):
    made = workshop.apply("torch-autoawq", model, data, FIDELITY, zero_point=False, calibration_examples=16)
    assert sqnr_db(made) > 9


def test_named_modules_stay_in_float(workshop: Workshop, model: Path, data: Path):
    kept = ["model.layers.0.self_attn.q_proj", "model.layers.1.mlp"]
    made = workshop.apply("torch-autoawq", model, data, FIDELITY, calibration_examples=8, keep_float_nodes=kept)
    stored = {weight.name for weight in open_engine("transformers", made.artifact, workshop.root).summary.weights}
    assert {"model.layers.0.self_attn.q_proj.weight", "model.layers.1.mlp.up_proj.weight"} <= stored
    assert {"model.layers.1.self_attn.q_proj.qweight", "model.layers.0.mlp.up_proj.qweight"} <= stored
    assert any(check.startswith("The 10 quantized layers take") for check in made.result.checks)


@pytest.mark.parametrize(
    ("changes", "group_size", "words"),
    [
        (
            {},
            128,
            r"groups of 128 do not divide the rows of model\.layers\.0\.\S+, .* 64 weights; groups of 16 or 32 or 64",
        ),
        ({"hidden_size": 60, "num_key_value_heads": 4}, 16, "no group size fits"),
        ({"head_dim": 4, "num_key_value_heads": 1}, 16, "packs 8 rows together"),
    ],
)
def test_what_does_not_come_out_even_is_refused(
    workshop: Workshop, data: Path, changes: dict[str, int], group_size: int, words: str
):
    model = llama_zip(workshop.root / f"refused-{len(list(workshop.root.iterdir()))}", **changes)
    with pytest.raises(TechniqueNotApplicable, match=words):
        workshop.apply("torch-autoawq", model, data, FIDELITY, group_size=group_size)


def test_a_model_that_autoawq_does_not_know_is_refused(workshop: Workshop):
    (folder := workshop.root / "bert").mkdir()
    data = workshop.examples(**torch_models.tokens(80))
    with pytest.raises(TechniqueNotApplicable, match="autoawq does not support BertForSequenceClassification"):
        workshop.apply("torch-autoawq", torch_models.bert(folder), data, FIDELITY, group_size=16)


def _altered(made: Optimized, folder: Path, settings: dict[str, object], weights: dict[str, torch.Tensor]) -> Path:
    """The artifact's files with other settings of its quantization and other tensors."""
    with zipfile.ZipFile(made.artifact) as archive:
        archive.extractall(folder)
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] |= settings
    (folder / "config.json").write_text(json.dumps(config))
    save_file({**load_file(folder / "model.safetensors"), **weights}, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.mark.parametrize(
    ("settings", "weights", "words"),
    [
        ({"version": "gemv"}, {}, "this has 4 bits in the layout gemv"),
        ({"group_size": 16}, {}, "packed layers do not fit together"),
        ({}, {"model.layers.0.mlp.act_fn.scales": torch.ones(128)}, r"act_fn\.scales scale an activation"),
    ],
)
def test_what_would_not_compute_the_same_is_not_loaded(
    tmp_path: Path, made: Optimized, settings: dict[str, object], weights: dict[str, torch.Tensor], words: str
):
    folder = _altered(made, tmp_path / "other", settings, weights)
    with pytest.raises(ModelNotLoadable, match=words):
        load(TransformersFolder(folder), "cpu")


@pytest.mark.gpu
def test_cuda_runs_the_packed_layers(workshop: Workshop, made: Optimized):
    feeds = {name: tensor.numpy() for name, tensor in batch().items()}
    on_cpu = torch.from_numpy(load_model(made.artifact, workshop.root).run(feeds)[0])
    opened = load_model(made.artifact, workshop.root, device="cuda")
    assert any(isinstance(part, WQLinear_GEMM) for part in opened.module.modules())
    assert ((torch.from_numpy(opened.run(feeds, "cuda")[0]) - on_cpu).norm() / on_cpu.norm()).item() < 0.02
