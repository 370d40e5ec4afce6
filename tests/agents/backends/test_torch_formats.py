"""Every way in which a PyTorch model is shipped: inspected, loaded, run, and written back in the same format."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import BertConfig, BertForMaskedLM, BertModel, LlamaForCausalLM

from apps.agents.backends.torch.engine import TorchEngine
from apps.agents.backends.torch.inspection import inspect
from apps.agents.backends.torch.loading import load_model
from apps.agents.backends.torch.saving import save_model
from apps.agents.contracts.criteria import Device, Target
from apps.agents.contracts.errors.models import ModelTooLarge, ModelTruncated
from apps.agents.contracts.errors.running import DeviceMissing, ModelRunFailed
from apps.agents.contracts.errors.torch_models import FactoryFailed, ScriptInterface, ShardsMissing, WeightsMissing
from apps.agents.contracts.formats import Format
from tests.agents.torch_uploads import (
    CODE,
    DESCRIPTION,
    LAYERS,
    LLAMA,
    convolutional,
    described_zip,
    exported_file,
    folder_zip,
    llama_folder,
    network,
    scripted_file,
    word_tokenizer,
)

PICTURES = {"x": np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)}
TOKENS = {"input_ids": np.arange(10).reshape(2, 5), "attention_mask": np.ones((2, 5), np.int64)}
Make = Callable[[Path], Path]


def llama_zip(path: Path, **settings: Any) -> Path:
    return folder_zip(word_tokenizer(llama_folder(path.with_name(f"{path.name}-files"), **settings)), path)


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    return llama_zip(tmp_path / "llama.zip")


def run(path: Path, feeds: dict[str, Any], scratch: Path) -> np.ndarray[Any, Any]:
    return TorchEngine(path, scratch).session(Target())(feeds)[0]


def saved(path: Path, scratch: Path, name: str, dtype: torch.dtype | None = None) -> Path:
    """The model at `path`, loaded and written again, in another type if one is given."""
    (scratch / name / "out").mkdir(parents=True)
    model = load_model(path, scratch / name)
    if dtype is not None:
        model.module.to(dtype)
    return save_model(model, scratch / name / "out")


MAKERS = [exported_file, scripted_file, described_zip, llama_zip]
FORMATS = [Format.TORCH_EXPORT, Format.TORCHSCRIPT, Format.STATE_DICT, Format.TRANSFORMERS]
EVERY_FORMAT = pytest.mark.parametrize("make", MAKERS, ids=FORMATS)


def feeds_of(make: Make) -> dict[str, Any]:
    return TOKENS if make is llama_zip else PICTURES


@EVERY_FORMAT
def test_a_model_gives_what_its_module_gives(make: Make, tmp_path: Path) -> None:
    path = make(tmp_path / "model")
    given = run(path, feeds_of(make), tmp_path)
    with torch.inference_mode():
        if make is llama_zip:
            module = LlamaForCausalLM.from_pretrained(tmp_path / "model-files")
            wanted = module(**{name: torch.from_numpy(array) for name, array in TOKENS.items()}).logits
        else:
            module = network() if make is described_zip else convolutional()
            wanted = module(torch.from_numpy(PICTURES["x"]))
    np.testing.assert_allclose(given, wanted.numpy(), atol=1e-6)


@EVERY_FORMAT
def test_what_is_written_back_is_the_same_model_and_the_same_bytes_every_time(make: Make, tmp_path: Path) -> None:
    path, feeds = make(tmp_path / "model"), feeds_of(make)
    first, second = saved(path, tmp_path, "a"), saved(path, tmp_path, "b")
    assert first.read_bytes() == second.read_bytes()
    np.testing.assert_array_equal(run(first, feeds, tmp_path), run(path, feeds, tmp_path))
    before, after = (TorchEngine(file, tmp_path).summary for file in (path, first))
    assert (after.format, after.inputs, after.parameters) == (before.format, before.inputs, before.parameters)
    assert [spec.shape for spec in after.outputs] == [spec.shape for spec in before.outputs]


@pytest.mark.parametrize("make", MAKERS[1:], ids=FORMATS[1:])
def test_a_model_in_half_precision_is_written_and_run_as_such(make: Make, tmp_path: Path) -> None:
    path, feeds = make(tmp_path / "model"), feeds_of(make)
    half = saved(path, tmp_path, "half", torch.bfloat16)
    summary = TorchEngine(half, tmp_path).summary
    assert summary.weight_dtypes["bfloat16"] > 0
    assert "float32" not in summary.weight_dtypes
    assert summary.inputs == TorchEngine(path, tmp_path).summary.inputs
    given, wanted = run(half, feeds, tmp_path), run(path, feeds, tmp_path)
    assert given.dtype == np.float32
    assert 0 < np.abs(given - wanted).max() < 0.05


# --- what inspection says --------------------------------------------------------------------------------------------


def test_a_transformers_folder_says_what_it_is(llama: Path, tmp_path: Path) -> None:
    summary = inspect(llama, tmp_path)
    folder = tmp_path / "llama.zip-files"
    weights = load_file(folder / "model.safetensors")
    assert summary.format == Format.TRANSFORMERS
    assert [str(spec) for spec in summary.inputs] == [
        "input_ids: int64[batch, sequence]",
        "attention_mask: int64[batch, sequence]",
    ]
    assert [str(spec) for spec in summary.outputs] == ["logits: float32[batch, sequence, 96]"]
    assert summary.parameters == sum(tensor.numel() for tensor in weights.values())
    assert summary.weight_dtypes == {"float32": summary.parameters}
    assert {spec.name: spec.shape for spec in summary.weights} == {
        name: tuple(tensor.shape) for name, tensor in weights.items()
    }
    assert summary.operators["Linear"] == 15
    assert summary.size_bytes == 4 * summary.parameters + (folder / "config.json").stat().st_size
    language = summary.language
    assert language is not None
    assert (language.architecture, language.generative, language.context_length) == ("LlamaForCausalLM", True, 64)
    assert (language.vocabulary, language.tied_embeddings, language.tokenizer) == (96, True, True)
    assert language.embedding_parameters == 96 * LLAMA["hidden_size"]
    assert summary.quantization is None


def test_an_encoder_gives_its_states_and_takes_what_its_tokenizer_makes(tmp_path: Path) -> None:
    config = BertConfig(vocab_size=96, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4)
    BertModel(config).save_pretrained(tmp_path / "bert")
    settings = word_tokenizer(tmp_path / "bert") / "tokenizer_config.json"
    names = ["input_ids", "token_type_ids", "attention_mask"]
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "model_input_names": names}))
    summary = inspect(folder_zip(tmp_path / "bert", tmp_path / "bert.zip"), tmp_path)
    assert [spec.name for spec in summary.inputs] == ["input_ids", "attention_mask", "token_type_ids"]
    assert [str(spec) for spec in summary.outputs] == [
        "last_hidden_state: float32[batch, sequence, 32]",
        "pooler_output: float32[batch, 32]",
    ]
    outputs = TorchEngine(tmp_path / "bert.zip", tmp_path).session(Target())(
        {**TOKENS, "token_type_ids": np.zeros((2, 5), np.int64)}
    )
    assert [output.shape for output in outputs] == [(2, 5, 32), (2, 32)]


def test_an_exported_program_is_read_without_being_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = exported_file(tmp_path / "model")
    monkeypatch.setattr(torch.export, "load", None)
    summary = inspect(path, tmp_path)
    assert [str(spec) for spec in summary.inputs] == ["x: float32[batch, 3, 8, 8]"]
    assert [spec.shape for spec in summary.outputs] == [("batch", 5)]
    assert summary.operators["aten.conv2d"] == 2
    assert summary.weight_dtypes == {"float32": 493, "int64": 1}
    assert ("convolution.weight", (8, 3, 3, 3)) in {(spec.name, spec.shape) for spec in summary.weights}


def test_a_program_that_takes_by_name_and_gives_a_mapping_keeps_its_names(tmp_path: Path) -> None:
    class Named(torch.nn.Module):
        def forward(self, a: torch.Tensor, *, b: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"total": a + b, "difference": a - b}

    example = (torch.zeros(2, 3),)
    batch = {0: torch.export.Dim("batch")}
    program = torch.export.export(Named(), example, {"b": torch.ones(2, 3)}, dynamic_shapes={"a": batch, "b": batch})
    torch.export.save(program, tmp_path / "named.pt2")
    summary = inspect(tmp_path / "named.pt2", tmp_path)
    assert [spec.name for spec in summary.inputs] == ["a", "b"]
    assert [spec.name for spec in summary.outputs] == ["total", "difference"]
    feeds = {"b": np.ones((4, 3), np.float32), "a": np.full((4, 3), 3, np.float32)}
    total, difference = TorchEngine(tmp_path / "named.pt2", tmp_path).session(Target())(feeds)
    assert (total[0, 0], difference[0, 0]) == (4, 2)


def test_a_program_of_halves_takes_and_gives_what_data_is_stored_in(tmp_path: Path) -> None:
    module = convolutional().bfloat16()
    program = torch.export.export(module, (torch.zeros(2, 3, 8, 8, dtype=torch.bfloat16),))
    torch.export.save(program, tmp_path / "half.pt2")
    summary = inspect(tmp_path / "half.pt2", tmp_path)
    assert {spec.dtype for spec in (*summary.inputs, *summary.outputs)} == {"float32"}
    given = run(tmp_path / "half.pt2", PICTURES, tmp_path)
    with torch.inference_mode():
        wanted = convolutional()(torch.from_numpy(PICTURES["x"])).numpy()
    np.testing.assert_allclose(given, wanted, atol=0.05)


def test_a_script_that_says_nothing_is_read_off_its_first_layer(tmp_path: Path) -> None:
    class Scaled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = convolutional()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner((x - 127) / 128)  # type: ignore[no-any-return]

    torch.jit.save(torch.jit.script(Scaled().eval()), str(tmp_path / "model.pt"))
    summary = inspect(tmp_path / "model.pt", tmp_path)
    assert [str(spec) for spec in summary.inputs] == ["x: float32[batch, 3, height, width]"]
    assert [str(spec) for spec in summary.outputs] == ["output: float32[batch, 5]"]


def test_a_script_whose_inputs_cannot_be_read_off_is_asked_to_say_them(tmp_path: Path) -> None:
    class Two(torch.nn.Module):
        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return a @ b

    torch.jit.save(torch.jit.script(Two()), str(tmp_path / "model.pt"))
    with pytest.raises(ScriptInterface, match=r"2 inputs.*extra file lathe\.toml"):
        inspect(tmp_path / "model.pt", tmp_path)


def test_uploaded_code_is_shown_and_says_what_only_it_can(tmp_path: Path) -> None:
    summary = inspect(described_zip(tmp_path / "model.zip"), tmp_path)
    assert [(file.name, file.text) for file in summary.code] == [("model.py", CODE), ("layers.py", LAYERS)]
    assert [str(spec) for spec in summary.outputs] == ["output: float32[batch, 5]"]
    assert summary.operators == {"Conv2d": 1, "Linear": 1}
    assert {spec.name for spec in summary.weights} == set(network().state_dict())


def test_code_that_cannot_build_the_network_is_refused_by_the_inspection(tmp_path: Path) -> None:
    with pytest.raises(FactoryFailed, match="returns a NoneType"):
        inspect(described_zip(tmp_path / "model.zip", {"model.py": "def build(classes): ...\n"}), tmp_path)


def test_an_installed_package_offers_an_architecture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "acme_networks.py").write_text(
        "from tests.agents.torch_uploads import Network\n\n\ndef make(classes):\n    return Network()\n"
    )
    information = tmp_path / "acme_networks-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-networks\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[lathe.architectures]\nacme = acme_networks:make\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    named = DESCRIPTION.replace('file = "model.py"\nfactory = "build"', 'architecture = "acme"')
    path = described_zip(tmp_path / "model.zip", {"lathe.toml": named, "model.py": None, "layers.py": None})
    summary = inspect(path, tmp_path)
    assert summary.code == ()
    assert summary.operators == {"Conv2d": 1, "Linear": 1}
    assert [str(spec) for spec in summary.outputs] == ["output: float32[batch, 5]"]
    assert run(path, PICTURES, tmp_path).shape == (2, 5)
    sys.modules.pop("acme_networks", None)


def test_weights_of_a_class_of_transformers_keep_their_ties(tmp_path: Path) -> None:
    config = BertConfig(vocab_size=96, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4)
    module = BertForMaskedLM(config).eval()
    files = tmp_path / "files"
    module.save_pretrained(files)
    (files / "lathe.toml").write_text('architecture = "transformers/BertForMaskedLM"\n')
    path = folder_zip(files, tmp_path / "model.zip")
    summary = inspect(path, tmp_path)
    assert [str(spec) for spec in summary.outputs] == ["logits: float32[batch, sequence, 96]"]
    with torch.inference_mode():
        wanted = module(**{name: torch.from_numpy(array) for name, array in TOKENS.items()}).logits.numpy()
    again = saved(path, tmp_path, "again")
    np.testing.assert_allclose(run(again, TOKENS, tmp_path), wanted, atol=1e-5)
    assert TorchEngine(again, tmp_path).summary.parameters == summary.parameters


# --- files that lack something ---------------------------------------------------------------------------------------


def test_shards_are_read_together_and_missed_by_name(tmp_path: Path) -> None:
    folder = llama_folder(tmp_path / "files")
    whole = TorchEngine(folder_zip(folder, tmp_path / "whole.zip"), tmp_path)
    LlamaForCausalLM.from_pretrained(folder).save_pretrained(tmp_path / "sharded", max_shard_size="100KB")
    path = folder_zip(tmp_path / "sharded", tmp_path / "sharded.zip")
    assert inspect(path, tmp_path).parameters == whole.summary.parameters
    np.testing.assert_array_equal(run(path, TOKENS, tmp_path), whole.session(Target())(TOKENS)[0])
    shards = sorted((tmp_path / "sharded").glob("model-*.safetensors"))
    shards[1].unlink()
    with pytest.raises(ShardsMissing, match=shards[1].name):
        inspect(folder_zip(tmp_path / "sharded", tmp_path / "lacking.zip"), tmp_path)


def test_weights_in_a_pickle_of_plain_tensors_are_read(tmp_path: Path) -> None:
    folder = llama_folder(tmp_path / "files")
    wanted = run(folder_zip(folder, tmp_path / "safe.zip"), TOKENS, tmp_path)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    path = folder_zip(folder, tmp_path / "bin.zip")
    assert inspect(path, tmp_path).weight_dtypes == inspect(tmp_path / "safe.zip", tmp_path).weight_dtypes
    np.testing.assert_array_equal(run(path, TOKENS, tmp_path), wanted)


def test_weights_cut_short_are_said_to_be(tmp_path: Path) -> None:
    folder = llama_folder(tmp_path / "files")
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelTruncated, match=r"model\.safetensors"):
        inspect(folder_zip(folder, tmp_path / "cut.zip"), tmp_path)


def test_a_description_that_names_weights_which_are_not_there_is_refused(tmp_path: Path) -> None:
    path = described_zip(tmp_path / "model.zip", {"lathe.toml": 'weights = "w.pt"\n' + DESCRIPTION})
    with pytest.raises(WeightsMissing, match=r"w\.pt"):
        inspect(path, tmp_path)


def test_a_model_beyond_the_limit_is_not_opened(llama: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelTooLarge):
        inspect(llama, tmp_path, limit_bytes=10_000)


# --- running ---------------------------------------------------------------------------------------------------------


def test_texts_become_tokens_no_longer_than_the_model_bears(llama: Path, tmp_path: Path) -> None:
    encoder = TorchEngine(llama, tmp_path).encoder
    assert encoder is not None
    assert encoder.encode(["w0 w1", "w93 elsewhere"]) == [[2, 3], [95, 0]]
    assert encoder.encode([]) == []
    assert (encoder.context_length, encoder.pad_id) == (64, 1)


def test_a_folder_without_a_tokenizer_encodes_nothing(tmp_path: Path) -> None:
    path = folder_zip(llama_folder(tmp_path / "files"), tmp_path / "llama.zip")
    assert TorchEngine(path, tmp_path).encoder is None


def test_a_session_computes_with_the_targets_threads(tmp_path: Path) -> None:
    engine = TorchEngine(exported_file(tmp_path / "model"), tmp_path)
    one, two = (engine.session(Target(threads=threads)) for threads in (1, 2))
    for session, threads in ((one, 1), (two, 2), (one, 1)):
        session(PICTURES)
        assert torch.get_num_threads() == threads


def test_feeds_that_do_not_fit_are_a_failure_of_the_run(llama: Path, tmp_path: Path) -> None:
    session = TorchEngine(llama, tmp_path).session(Target())
    with pytest.raises(ModelRunFailed, match="index out of range"):
        session({**TOKENS, "input_ids": np.full((2, 5), 5000)})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a device here")
def test_a_target_that_is_not_here_is_said_so(llama: Path, tmp_path: Path) -> None:
    with pytest.raises(DeviceMissing, match="cuda"):
        TorchEngine(llama, tmp_path).session(Target(device=Device.CUDA))


@pytest.mark.slow
@pytest.mark.nightly
def test_peak_memory_grows_with_the_weights(tmp_path: Path) -> None:
    used = []
    for width in (8, 4096):
        module = torch.nn.Sequential(torch.nn.Linear(8, width), torch.nn.Linear(width, width))
        program = torch.export.export(module, (torch.zeros(1, 8),))
        torch.export.save(program, tmp_path / f"{width}.pt2")
        engine = TorchEngine(tmp_path / f"{width}.pt2", tmp_path)
        used.append(engine.peak_memory_bytes({"input": np.zeros((1, 8), np.float32)}, Target()))
    assert used[0] < 32 * 2**20  # Without the loader, which takes 150 MB and would count for a model of a kilobyte.
    assert used[1] > used[0] + 4096 * 4096 * 4
