"""llm-compressor on small Llamas: AWQ's scaling alone changes nothing, and what is stored comes back exactly."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from apps.agents.backends.torch.compressed import ActivationAware, RoundToNearest, compress
from apps.agents.backends.torch.folder_quantization import library_at_work
from apps.agents.backends.torch.loading import load_model
from apps.agents.backends.torch.transformers_folder import TransformersFolder
from apps.agents.contracts.errors.techniques import (
    TechniqueInvalidOutput,
    TechniqueLibraryFailed,
    TechniqueNotApplicable,
)
from apps.agents.measuring.engine import open_engine
from apps.agents.techniques.base import Assignment, Optimized
from tests.agents import torch_models
from tests.agents.small_llamas import LINEAR, batch, llama_zip, rows
from tests.agents.told import Told
from tests.agents.workshop import FIDELITY, Workshop, sqnr_db

RTN, AWQ, GPTQ = "torch-round-to-nearest", "torch-awq", "torch-gptq"
FEW = {"calibration_examples": 16}


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("compressed"), "transformers")


@pytest.fixture(scope="module")
def model(workshop: Workshop) -> Path:
    return llama_zip(workshop.root / "llama")


@pytest.fixture(scope="module")
def data(workshop: Workshop) -> Path:
    return workshop.examples(**rows())


@pytest.fixture(scope="module")
def plain(workshop: Workshop, model: Path, data: Path) -> Optimized:
    return workshop.apply(RTN, model, data, FIDELITY)


@pytest.fixture(scope="module")
def gptq(workshop: Workshop, model: Path, data: Path) -> Optimized:
    return workshop.apply(GPTQ, model, data, FIDELITY, **FEW)


def test_every_weight_becomes_the_nearest_of_its_group(workshop: Workshop, model: Path, plain: Optimized):
    before, after = (load_model(path, workshop.root).module for path in (model, plain.artifact))
    name = "model.layers.0.mlp.down_proj"
    old, new = before.get_submodule(name), after.get_submodule(name)
    assert type(new) is nn.Linear
    groups = old.weight.reshape(64, -1, 32)
    step = (groups.amax(-1).clamp(min=0) - groups.amin(-1).clamp(max=0)) / 15
    error = (new.weight - old.weight).abs().reshape(64, -1, 32).amax(-1)
    assert (error <= step * 0.5001).all()
    assert (error > step * 0.3).any()


def test_what_is_stored_says_what_it_is_and_takes_what_its_bits_allow(workshop: Workshop, plain: Optimized):
    summary = open_engine("transformers", plain.artifact, workshop.root).summary
    assert summary.quantization == "compressed-tensors 4 bit, groups of 32"
    assert summary.weight_dtypes["uint4"] == LINEAR
    told = " ".join(plain.result.checks)
    assert "The 14 quantized layers take" in told
    assert "5.15 bits a weight, scales included" in told
    assert "The embedding table (6,144 weights, tied to the output head) stays in float32." in told
    with zipfile.ZipFile(plain.artifact) as archive:
        assert sorted(archive.namelist()) == ["config.json", "generation_config.json", "model.safetensors"]


def test_the_unpacked_model_computes_what_the_packed_one_does(workshop: Workshop, gptq: Optimized):
    opened = load_model(gptq.artifact, workshop.root)
    packed = TransformersFolder(opened.folder).load_as_stored("cpu").eval()
    with torch.inference_mode():
        assert torch.equal(opened.call(batch())[0], packed(**batch()).logits)


def test_second_order_information_loses_less_than_plain_rounding(plain: Optimized, gptq: Optimized):
    assert sqnr_db(gptq) > sqnr_db(plain)
    assert gptq.result.size_bytes == pytest.approx(plain.result.size_bytes, rel=0.01)


def test_the_same_work_gives_the_same_bytes(workshop: Workshop, model: Path, data: Path, gptq: Optimized):
    assert workshop.apply(GPTQ, model, data, FIDELITY, **FEW).result.digest == gptq.result.digest


def test_eight_symmetric_bits_in_half_precision_take_half(workshop: Workshop, data: Path):
    model = llama_zip(workshop.root / "halves", dtype="bfloat16")
    made = workshop.apply(RTN, model, data, FIDELITY, bits=8, symmetric=True)
    assert sqnr_db(made) > 25
    assert "8.52 bits a weight, scales included" in " ".join(made.result.checks)
    assert workshop.told.metrics["predicted_size_ratio"] == pytest.approx(workshop.told.metrics["size_ratio"], rel=0.25)


# --- activation-aware -------------------------------------------------------------------------------------------------


@pytest.mark.skipif(
    torch.cuda.is_available(), reason="the library leaves the model on CUDA; its files are tested below"
)
def test_scaling_without_rounding_is_the_original_to_float_precision(workshop: Workshop, model: Path, data: Path):
    assignment = workshop.assignment(AWQ, model, data, FIDELITY, **FEW)
    agent = ActivationAware()
    agent.check(assignment, Told())
    opened = load_model(model, workshop.root)
    before = opened.call(batch())[0].detach()
    norm = opened.module.get_parameter("model.layers.0.input_layernorm.weight").detach().clone()
    calibration = [{name: tensor[at : at + 1] for name, tensor in batch(8).items()} for at in range(8)]
    with library_at_work("AWQ", 0):
        compress(opened.module, agent.recipe(agent.scheme(assignment)), calibration)
    for module in opened.module.modules():
        module.quantization_enabled = False  # type: ignore[assignment]  # The library's own switch: nothing is rounded.
    assert not torch.equal(opened.module.get_parameter("model.layers.0.input_layernorm.weight"), norm)
    assert ((opened.call(batch())[0] - before).abs().max() / before.abs().max()).item() < 1e-5


def test_awq_is_stored_as_plain_rounding_is(workshop: Workshop, model: Path, data: Path, plain: Optimized):
    made = workshop.apply(AWQ, model, data, FIDELITY, **FEW)
    assert sqnr_db(made) > sqnr_db(plain) - 1
    assert made.result.size_bytes == pytest.approx(plain.result.size_bytes, rel=0.01)


# --- what stays, what is refused --------------------------------------------------------------------------------------


def test_named_modules_stay_in_float(workshop: Workshop, model: Path, data: Path):
    kept = ["model.layers.0.self_attn", "model.layers.1.mlp.up_proj"]
    made = workshop.apply(GPTQ, model, data, FIDELITY, keep_float_nodes=kept, **FEW)
    before, after = (load_model(path, workshop.root).module for path in (model, made.artifact))
    for name, layer in before.named_modules():
        if type(layer) is nn.Linear:
            same = torch.equal(layer.weight, after.get_submodule(name).weight)
            assert same == (name == "lm_head" or any(name.startswith(start) for start in kept)), name
    assert (
        "As requested, model.layers.0.self_attn, model.layers.1.mlp.up_proj and everything in it stayed in float."
        in (made.result.checks)
    )


def test_a_classifiers_head_stays_in_float(workshop: Workshop):
    (folder := workshop.root / "bert").mkdir()
    data = workshop.examples(**torch_models.tokens(80))
    made = workshop.apply(RTN, torch_models.bert(folder), data, FIDELITY, group_size=16)
    stored = {weight.name for weight in open_engine("transformers", made.artifact, workshop.root).summary.weights}
    assert "classifier.weight" in stored
    assert "bert.encoder.layer.0.output.dense.weight_packed" in stored


def test_groups_that_do_not_divide_the_rows_are_refused_with_what_fits(workshop: Workshop, model: Path, data: Path):
    words = r"groups of 128 do not divide the rows of model\.layers\.0\.\S+, which have 64 weights; groups of 16"
    with pytest.raises(TechniqueNotApplicable, match=words):
        workshop.apply(AWQ, model, data, FIDELITY, group_size=128)


def test_layers_that_take_more_than_their_bits_allow_are_not_handed_over(workshop: Workshop, model: Path, data: Path):
    class Boastful(RoundToNearest):
        """Promises half of what it takes."""

        def packed_bytes(self, assignment: Assignment, rows: int, columns: int) -> int:
            return super().packed_bytes(assignment, rows, columns) // 2

    assignment = workshop.assignment(RTN, model, data, FIDELITY)
    with pytest.raises(TechniqueInvalidOutput, match=r"its 14 quantized layers take .* and 2\.57 bits a weight allow"):
        workshop.run(assignment, Boastful())
    assert list(assignment.out.iterdir()) == []


def test_the_librarys_own_words_come_through():
    with (
        pytest.raises(TechniqueLibraryFailed, match="during AWQ: ValueError: no such mapping"),
        library_at_work("AWQ", 0),
    ):
        raise ValueError("no such mapping")


@pytest.mark.gpu
@pytest.mark.parametrize("technique", [AWQ, GPTQ])
def test_cuda_computes_what_the_cpu_does(workshop: Workshop, model: Path, data: Path, technique: str):
    made = workshop.apply(technique, model, data, FIDELITY, **FEW)
    feeds = {name: tensor.numpy() for name, tensor in batch().items()}
    on_cpu = torch.from_numpy(load_model(made.artifact, workshop.root).run(feeds)[0])
    on_cuda = torch.from_numpy(load_model(made.artifact, workshop.root, device="cuda").run(feeds, "cuda")[0])
    assert ((on_cuda - on_cpu).norm() / on_cpu.norm()).item() < 0.01
