"""PyTorch models as ONNX: free axes, names, padding, and nothing handed over that computes anything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from apps.agents.backends.torch import export, fusion, onnx_file
from apps.agents.backends.torch.equality import Differs, cases_of, compare
from apps.agents.backends.torch.model import TorchModel
from apps.agents.backends.torch.tracing import example_feeds
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.errors.techniques import TechniqueInvalidOutput, TechniqueLibraryFailed
from apps.agents.contracts.reports.model import TensorSpec
from apps.agents.files import onnx_files
from apps.agents.files.onnx_files import write_onnx
from apps.agents.techniques.base import Optimized
from tests.agents import torch_models, torch_uploads
from tests.agents.torch_models import Convolutional, model_of
from tests.agents.workshop import FIDELITY, Workshop, loaded, operators, sqnr_db

PICTURES = {"x": np.random.default_rng(0).normal(size=(6, 3, 8, 8)).astype(np.float32)}


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("export"), "transformers")


@pytest.fixture(scope="module")
def texts(workshop: Workshop) -> Path:
    return workshop.examples(**torch_models.tokens())


@pytest.fixture(scope="module")
def classifier(workshop: Workshop) -> Path:
    folder = workshop.root / "bert"
    folder.mkdir()
    return torch_models.bert(folder)


@pytest.fixture(scope="module")
def writer(workshop: Workshop) -> Path:
    folder = workshop.root / "llama"
    folder.mkdir()
    return torch_models.llama_archive(folder)


@pytest.fixture(scope="module")
def exported(workshop: Workshop, classifier: Path, texts: Path) -> Optimized:
    return workshop.apply("onnx-export", classifier, texts, FIDELITY)


def _axes(value: Any) -> list[object]:
    return [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]


# --- transformers -----------------------------------------------------------------------------------------------------


def test_a_classifier_keeps_its_names_types_and_free_axes(exported: Optimized):
    graph = loaded(exported).graph
    assert {value.name: _axes(value) for value in graph.input} == {
        "input_ids": ["batch", "sequence"],
        "attention_mask": ["batch", "sequence"],
    }
    assert [(value.name, _axes(value)) for value in graph.output] == [("logits", ["batch", 3])]
    assert {value.type.tensor_type.elem_type for value in graph.input} == {onnx.TensorProto.INT64}
    assert exported.artifact.name == "model.onnx"


def test_the_checks_say_how_equal_it_is(exported: Optimized):
    assert sqnr_db(exported) > export.SAME_DB
    said = exported.result.checks[0]
    assert said.startswith("In ONNX Runtime its outputs match the original's on 6 batches of several sizes")
    assert "differ by at most" in said
    assert said.endswith("on average.")
    assert "with the free axes batch, sequence." in " ".join(exported.result.checks)


def test_nodes_are_named_after_the_modules_they_came_from(exported: Optimized):
    names = [node.name for node in loaded(exported).graph.node]
    assert len(set(names)) == len(names)
    assert "bert.encoder.layer.0.attention.self.query/MatMul" in names
    assert "bert.encoder.layer.1.output.LayerNorm/LayerNormalization" in names


@pytest.mark.slow
@pytest.mark.nightly
def test_a_writer_is_right_with_padding_on_either_side_and_the_same_bytes_come_out_again(
    workshop: Workshop, writer: Path, texts: Path
):
    made = workshop.apply("onnx-export", writer, texts, FIDELITY)
    assert "on 6 batches" in made.result.checks[0]
    assert [_axes(value) for value in loaded(made).graph.output] == [["batch", "sequence", 96]]
    again = workshop.apply("onnx-export", writer, texts, FIDELITY)
    assert again.artifact.read_bytes() == made.artifact.read_bytes()
    assert str(workshop.root).encode() not in made.artifact.read_bytes()
    assert b"site-packages" not in made.artifact.read_bytes()


def test_attention_is_fused_where_asked_and_stays_equal(workshop: Workshop, classifier: Path, texts: Path):
    made = workshop.apply("onnx-export", classifier, texts, FIDELITY, transformer_fusions=True)
    assert operators(made)["Attention"] == 2
    assert sqnr_db(made) > export.SAME_DB


@pytest.mark.slow
@pytest.mark.nightly
def test_a_fusion_that_drops_the_mask_is_not_taken(workshop: Workshop, writer: Path, texts: Path):
    """As it comes, the fusion of grouped attention runs one row at a time or forgets which tokens are hidden."""
    assignment = workshop.assignment("onnx-export", writer, texts, FIDELITY, transformer_fusions=True)
    made = workshop.run(assignment)
    assert "GroupQueryAttention" not in operators(made)
    assert sqnr_db(made) > export.SAME_DB


def test_a_model_in_half_precision_is_widened(workshop: Workshop, texts: Path, tmp_path: Path):
    archive = torch_models.bert(tmp_path, dtype=torch.bfloat16)
    made = workshop.apply("onnx-export", archive, texts, FIDELITY)
    assert {tensor.data_type for tensor in loaded(made).graph.initializer} <= {
        onnx.TensorProto.FLOAT,
        onnx.TensorProto.INT64,
        onnx.TensorProto.BOOL,
    }
    assert "in float32 where the original has bfloat16" in " ".join(made.result.checks)


def test_an_export_that_computes_something_else_is_removed(
    workshop: Workshop, classifier: Path, texts: Path, monkeypatch: pytest.MonkeyPatch
):
    right = export.to_onnx

    def wrong(*given: Any) -> onnx.ModelProto:
        proto = right(*given)
        for node in proto.graph.node:
            if node.output[0] == "logits":
                node.output[0] = "right"
        added = onnx.numpy_helper.from_array(np.float32(0.01), "added")
        proto.graph.initializer.append(added)
        proto.graph.node.append(onnx.helper.make_node("Add", ["right", "added"], ["logits"], name="wrong"))
        return proto

    monkeypatch.setattr(export, "to_onnx", wrong)
    assignment = workshop.assignment("onnx-export", classifier, texts, FIDELITY)
    with pytest.raises(TechniqueInvalidOutput, match=r"output 'logits' on \d+ examples differs by up to 0\.01"):
        workshop.run(assignment)
    assert not list(assignment.out.iterdir())


# --- other formats ----------------------------------------------------------------------------------------------------


def _exported(model: TorchModel, folder: Path) -> tuple[onnx.ModelProto, Path]:
    proto = onnx_file.tidy(export.to_onnx(model, example_feeds(model.summary, PICTURES), "Export"), model.summary)
    return proto, write_onnx(proto, folder, onnx.save_model)


@pytest.mark.parametrize("kind", ["state-dict", "torch-export", "torchscript"])
def test_a_convolutional_network_is_the_same_whichever_way_it_was_shipped(tmp_path: Path, kind: str):
    torch.manual_seed(torch_models.SEED)
    model, _ = torch_models.saved(Convolutional(), kind, PICTURES, tmp_path)
    proto, file = _exported(model, tmp_path)
    found = compare(file, cases_of(model, PICTURES), ["y"])
    assert found.cases == 2
    assert found.max_error < 1e-5
    assert _axes(proto.graph.input[0]) == ["batch", 3, 8, 8]
    assert _axes(proto.graph.output[0])[1] == 5
    assert len({node.name for node in proto.graph.node}) == len(proto.graph.node)


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = Convolutional()

    def both(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = self.body(x)
        return y, y * 2 + 1


class Mapped(Two):
    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        y, z = self.both(x)
        return {"z": z, "y": y}


class Filled(Two):
    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        found: dict[str, torch.Tensor] = {}
        y, z = self.both(x)
        found["y"] = z
        found["z"] = z
        found["y"] = y
        return found


class Listed(Two):
    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        y, z = self.both(x)
        return [y, z]


class Appended(Two):
    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        found: list[torch.Tensor] = []
        for factor in (1, 2):
            found.append(self.body(x) * factor + (factor - 1))  # noqa: PERF401
        return found


class Nested(Two):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        y, z = self.both(x)
        return y, {"z": z}


@pytest.mark.parametrize("network", [Mapped, Filled, Listed, Appended, Nested])
def test_a_script_gives_its_outputs_in_whatever_holds_them(tmp_path: Path, network: type[Two]):
    torch.manual_seed(torch_models.SEED)
    model, _ = torch_models.saved(network(), "torchscript", PICTURES, tmp_path)
    y = model.summary.outputs[0]
    names = ["output_0", "output_1_z"] if network is Nested else ["y", "z"]
    both = tuple(y.model_copy(update={"name": name}) for name in names)
    summary = model.summary.model_copy(update={"outputs": both})
    model = TorchModel(model.module, model.format, summary, tmp_path, positional=True)
    proto, file = _exported(model, tmp_path)
    found = compare(file, cases_of(model, PICTURES), names)
    assert found.max_error < 1e-5
    assert [value.name for value in proto.graph.output] == names
    assert _axes(proto.graph.input[0]) == ["batch", 3, 8, 8]
    assert sum(weight.ByteSize() for weight in proto.graph.initializer) > 0, "weights are weights, not constants"


def test_a_module_that_computes_in_halves_takes_and_gives_float32(tmp_path: Path):
    proto, _ = _exported(model_of(Convolutional().to(torch.float16)), tmp_path)
    ends = [*proto.graph.input, *proto.graph.output]
    assert {value.type.tensor_type.elem_type for value in ends} == {onnx.TensorProto.FLOAT}


def test_an_axis_that_the_code_fixes_is_refused_with_the_exporters_words(tmp_path: Path):
    class Fixed(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.shape[0] == 3 else x.flatten(1)

    with pytest.raises(TechniqueLibraryFailed, match=r"during Export: .*static shape of 3"):
        _exported(model_of(Fixed()), tmp_path)


def test_large_weights_stand_in_a_file_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(onnx_files, "EXTERNAL_ABOVE_BYTES", 1000)
    monkeypatch.setattr(onnx_files, "SMALLEST_EXTERNAL_BYTES", 100)
    out = tmp_path / "out"
    out.mkdir()
    _, file = _exported(model_of(Convolutional()), out)
    assert file.name == "model.zip"


# --- the comparison ---------------------------------------------------------------------------------------------------


def test_sizes_that_the_original_does_not_take_are_no_cases():
    shape = ("batch", 3, "height", "width")

    class Flat(Convolutional):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x.reshape(-1, 3, 8, 8))

    model = model_of(Flat(), shape)
    assert [case.title for case in cases_of(model, PICTURES)] == ["6 examples", "1 example"]
    anything = model_of(Convolutional(), shape)
    assert len(cases_of(anything, PICTURES)) == 4


def test_other_shapes_and_other_numbers_are_told_apart(tmp_path: Path):
    model = model_of(Convolutional())
    _, file = _exported(model, tmp_path)
    cases = cases_of(model, PICTURES)
    cases[0].outputs[0] = cases[0].outputs[0][:, :4]
    with pytest.raises(Differs, match=r"output 'y' on 6 examples has the shape \[6, 5\] instead of \[6, 4\]"):
        compare(file, cases, ["y"])
    with pytest.raises(Differs, match="ONNX Runtime refuses it"):
        compare(file, cases, ["z"])


def test_a_graph_without_blocks_of_a_transformer_is_not_fused(tmp_path: Path):
    _, file = _exported(model_of(Convolutional()), tmp_path)
    for fuse in fusion.FUSIONS.values():
        with pytest.raises(fusion.NotFused, match="none of its patterns"):
            fuse(file)


def test_short_axes_are_lengthened_for_the_tracer():
    summary = model_of(nn.Identity(), ("batch", 3, "height", 1)).summary
    assert example_feeds(summary, {"x": np.zeros((1, 3, 1, 1), np.float32)})["x"].shape == (3, 3, 3, 1)
    fixed = summary.model_copy(update={"inputs": (TensorSpec(name="x", dtype="float32", shape=(1, 2)),)})
    assert example_feeds(fixed, {"x": np.zeros((1, 2), np.float32)})["x"].shape == (1, 2)


# --- from the file that was uploaded to the artifact ------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["state-dict", "torch-export", "torchscript"])
def test_an_uploaded_network_becomes_a_valid_artifact(tmp_path: Path, kind: str):
    makers = {
        "state-dict": lambda: torch_uploads.described_zip(tmp_path / "model.zip"),
        "torch-export": lambda: torch_uploads.exported_file(tmp_path / "model"),
        "torchscript": lambda: torch_uploads.scripted_file(tmp_path / "model.pt"),
    }
    workshop = Workshop(tmp_path, kind)
    pictures = workshop.examples(x=np.random.default_rng(0).normal(size=(24, 3, 8, 8)).astype(np.float32))
    made = workshop.apply("onnx-export", makers[kind](), pictures, FIDELITY)
    assert sqnr_db(made) > export.SAME_DB
    assert _axes(loaded(made).graph.input[0]) == ["batch", 3, 8, 8]


# --- a real model -----------------------------------------------------------------------------------------------------


@pytest.mark.assets
@pytest.mark.slow
def test_minilm_exported_is_the_same_and_int8_of_it_stays_close(tmp_path: Path, minilm_classifier, minilm):
    arrays = np.load(minilm.data)
    workshop = Workshop(tmp_path, "transformers")
    texts = workshop.examples(**{name: arrays[name][:80] for name in ("input_ids", "attention_mask", "token_type_ids")})
    made = workshop.apply("onnx-export", minilm_classifier.archive, texts, FIDELITY)
    assert sqnr_db(made) > 100
    (tmp_path / "onnx").mkdir()
    int8 = Workshop(tmp_path / "onnx").apply("onnx-dynamic-int8", made.artifact, texts, FIDELITY)
    assert made.result.size_bytes / int8.result.size_bytes > 3.5
    assert sqnr_db(int8) > 15


class Listener(torch.nn.Module):
    """Takes samples, a state `[2, batch, 8]` and a rate; gives a probability and the state."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = torch.nn.Linear(32, 64), torch.nn.Linear(64, 8), torch.nn.Linear(8, 1)

    def forward(
        self, audio: torch.Tensor, state: torch.Tensor, rate: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        now = torch.tanh(self.second(torch.relu(self.first(audio))) + state[1])
        return torch.sigmoid(self.third(now)) * (rate / 16000), torch.stack([now, now])


def test_examples_along_another_axis_and_what_all_of_them_share_go_through_the_tracer(tmp_path: Path):
    torch.manual_seed(3)
    free = torch.export.Dim.DYNAMIC
    program = torch.export.export(
        Listener().eval(),
        (torch.zeros(3, 32), torch.zeros(2, 3, 8), torch.tensor(16000)),
        dynamic_shapes=({0: free}, {1: free}, None),
    )
    torch.export.save(program, tmp_path / "listener.pt2")
    workshop = Workshop(tmp_path, "torch-export")
    audio = workshop.examples(audio=np.random.default_rng(0).normal(size=(30, 32)).astype(np.float32))
    said = {"state": {"constant": 0, "batch_axis": 1}, "rate": {"constant": 16000}}
    spec = DatasetSpec(kind="npz", task="fidelity", inputs=said)
    made = workshop.apply("onnx-export", tmp_path / "listener.pt2", audio, spec)
    assert "on 2 batches of several sizes" in made.result.checks[0]
    free_axis = {axis for value in loaded(made).graph.input for axis in _axes(value) if isinstance(axis, str)}
    assert len(free_axis) == 1
