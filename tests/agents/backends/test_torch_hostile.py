"""PyTorch uploads that want to run something, reach somewhere, or do not hold together, each refused by a code."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from apps.agents.backends.torch.exported_archive import is_arithmetic
from apps.agents.backends.torch.inspection import inspect
from apps.agents.backends.torch.loading import load_model
from apps.agents.contracts.errors.archives import ArchivePathEscape
from apps.agents.contracts.errors.models import ModelTruncated, ModelWrongType
from apps.agents.contracts.errors.torch_models import (
    ArchitectureMissing,
    ArchitectureUnknown,
    ArchitectureUnsupported,
    ConfigurationInvalid,
    DescriptionInvalid,
    FactoryFailed,
    OutputsUnknown,
    PickledModule,
    PickleRefused,
    ProgramCode,
    ProgramUnsupported,
    RemoteCode,
    ScriptTouchesFiles,
    StateDictExpected,
    TokenizerBroken,
    WeightsMissing,
    WeightsUnfit,
)
from tests.agents.torch_uploads import (
    DESCRIPTION,
    convolutional,
    described_zip,
    exported_file,
    folder_zip,
    llama_folder,
    network,
    word_tokenizer,
)


class Attack:
    """Unpickled, it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (open, (str(self.mark), "w"))


@pytest.fixture
def mark(tmp_path: Path) -> Any:
    """A file that must not be there in the end."""
    yield tmp_path / "mark"
    assert not (tmp_path / "mark").exists()


# --- pickles ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old"])
def test_a_pickled_module_is_told_how_to_be_saved(tmp_path: Path, protocol: int, zipped: bool) -> None:
    path = tmp_path / "model.pt"
    torch.save(convolutional(), path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    with pytest.raises(PickledModule, match=r"Convolutional.*state dict.*torch\.export\.save"):
        inspect(path, tmp_path)


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_checkpoint_that_would_run_something_is_not_opened(tmp_path: Path, mark: Path, protocol: int) -> None:
    torch.save({"w": torch.zeros(2), "x": Attack(mark)}, tmp_path / "model.pt", pickle_protocol=protocol)
    with pytest.raises(PickleRefused, match="open"):
        inspect(tmp_path / "model.pt", tmp_path)


def test_a_bare_pickle_that_would_run_something_is_not_opened(tmp_path: Path, mark: Path) -> None:
    (tmp_path / "model.pt").write_bytes(pickle.dumps(Attack(mark)))
    with pytest.raises(PickleRefused, match="open"):
        inspect(tmp_path / "model.pt", tmp_path)


def test_weights_of_a_folder_that_would_run_something_are_not_opened(tmp_path: Path, mark: Path) -> None:
    folder = llama_folder(tmp_path / "files")
    (folder / "model.safetensors").unlink()
    torch.save({"w": Attack(mark)}, folder / "pytorch_model.bin")
    path = folder_zip(folder, tmp_path / "model.zip")
    for opened in (inspect, load_model):
        with pytest.raises(PickleRefused, match=r"pytorch_model\.bin"):
            opened(path, tmp_path)


def test_a_pickle_of_no_tensors_is_no_state_dict(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "loss": [0.5]}, tmp_path / "model.pt")
    with pytest.raises(StateDictExpected, match="'epoch' is not a tensor"):
        inspect(tmp_path / "model.pt", tmp_path)


def test_bare_weights_are_told_what_is_missing(tmp_path: Path) -> None:
    torch.save(network().state_dict(), tmp_path / "weights.pt")
    save_file(network().state_dict(), tmp_path / "weights.safetensors")
    for name in ("weights.pt", "weights.safetensors"):
        with pytest.raises(ArchitectureMissing, match=r"lathe\.toml"):
            inspect(tmp_path / name, tmp_path)


def test_a_checkpoint_cut_short_is_said_to_be(tmp_path: Path) -> None:
    torch.save(network().state_dict(), tmp_path / "whole.pt", _use_new_zipfile_serialization=False)
    whole = (tmp_path / "whole.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[: len(whole) - 100])
    with pytest.raises(ModelTruncated, match=r"cut\.pt"):
        inspect(tmp_path / "cut.pt", tmp_path)


# --- transformers folders --------------------------------------------------------------------------------------------


def configured(tmp_path: Path, change: dict[str, Any]) -> Path:
    """A folder whose configuration has these values instead, zipped."""
    folder = llama_folder(tmp_path / "files")
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**settings, **change}))
    return folder_zip(folder, tmp_path / "model.zip")


def test_code_of_the_folders_own_is_never_run(tmp_path: Path, mark: Path) -> None:
    folder = llama_folder(tmp_path / "files")
    settings = json.loads((folder / "config.json").read_text())
    settings |= {"auto_map": {"AutoConfig": "own.Config"}, "model_type": "own"}
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "own.py").write_text(f"open({str(mark)!r}, 'w')\n")
    path = folder_zip(folder, tmp_path / "model.zip")
    for opened in (inspect, load_model):
        with pytest.raises(RemoteCode, match="AutoConfig"):
            opened(path, tmp_path)


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"architectures": ["AcmeForCausalLM"]}, ArchitectureUnsupported, "AcmeForCausalLM"),
        ({"architectures": ["T5ForConditionalGeneration"], "model_type": "t5"}, ArchitectureUnsupported, "one stack"),
        ({"architectures": None}, ArchitectureUnsupported, "does not name one"),
        ({"architectures": ["logging"]}, ArchitectureUnsupported, "not have a model of this name"),
        ({"model_type": "acme"}, ConfigurationInvalid, "acme"),
        ({"hidden_size": "wide"}, ConfigurationInvalid, r"config\.json"),
    ],
    ids=["unknown", "two stacks", "unnamed", "no model", "unknown type", "no number"],
)
def test_a_configuration_that_cannot_be_built_is_refused(
    change: dict[str, Any], error: type[Exception], said: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=said):
        inspect(configured(tmp_path, change), tmp_path)


def test_a_configuration_that_is_no_json_is_refused(tmp_path: Path) -> None:
    folder = llama_folder(tmp_path / "files")
    (folder / "config.json").write_text("{")
    with pytest.raises(ConfigurationInvalid):
        inspect(folder_zip(folder, tmp_path / "model.zip"), tmp_path)


def test_weights_of_another_shape_or_lacking_are_named(tmp_path: Path) -> None:
    wide = configured(tmp_path, {"intermediate_size": 96})
    with pytest.raises(WeightsUnfit, match=r"mlp\.down_proj\.weight \[64, 128\] instead of \[64, 96\]"):
        inspect(wide, tmp_path)
    folder = llama_folder(tmp_path / "lacking")
    weights = load_file(folder / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsUnfit, match=r"not stored: model\.norm\.weight"):
        load_model(folder_zip(folder, tmp_path / "lacking.zip"), tmp_path)


def test_a_broken_tokenizer_is_refused_by_the_inspection(tmp_path: Path) -> None:
    folder = word_tokenizer(llama_folder(tmp_path / "files"))
    (folder / "tokenizer.json").write_text("[]")
    with pytest.raises(TokenizerBroken):
        inspect(folder_zip(folder, tmp_path / "model.zip"), tmp_path)


def test_an_archive_that_reaches_outside_is_refused(tmp_path: Path) -> None:
    folder = llama_folder(tmp_path / "files")
    path = folder_zip(folder, tmp_path / "model.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../outside.txt", "")
    with pytest.raises(ArchivePathEscape):
        inspect(path, tmp_path)


def test_an_index_cannot_name_files_elsewhere(tmp_path: Path) -> None:
    folder = llama_folder(tmp_path / "files")
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    index = {"weight_map": {"model.norm.weight": "../../other.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    path = folder_zip(folder, tmp_path / "model.zip")
    for opened in (inspect, load_model):
        with pytest.raises(WeightsMissing, match=r"names '\.\./\.\./other\.safetensors'"):
            opened(path, tmp_path)


def test_a_model_of_another_framework_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ModelWrongType, match=r"lathe\.toml"):
        inspect(tmp_path / "table.csv", tmp_path)


# --- descriptions ----------------------------------------------------------------------------------------------------

INPUT = '[[input]]\nname = "x"\nshape = ["batch", 3, 8, 8]\n'


@pytest.mark.parametrize(
    ("description", "said"),
    [
        ("architecture = ", "not valid TOML"),
        (INPUT, "architecture"),
        ('architecture = "acme"\n', r"lacks an \[\[input\]\]"),
        ('file = "model.py"\n' + INPUT, "must both be set"),
        ('file = "../model.py"\nfactory = "build"\n' + INPUT, "relative path"),
        ('file = "other.py"\nfactory = "build"\n' + INPUT, "not in the archive"),
        (DESCRIPTION.replace("float32", "text"), "dtype is 'text'"),
        (DESCRIPTION.replace("8, 8", "0, 8"), "at least 1"),
        (DESCRIPTION + "colour = 3\n", "colour"),
    ],
    ids=["no toml", "nothing", "no input", "no factory", "escape", "no file", "dtype", "axis", "unknown key"],
)
def test_a_description_is_refused_with_what_would_be_right(description: str, said: str, tmp_path: Path) -> None:
    path = described_zip(tmp_path / "model.zip", {"lathe.toml": description})
    with pytest.raises(DescriptionInvalid, match=said):
        inspect(path, tmp_path)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def other(): ...\n", r"does not define this function; it defines other"),
        ("1 / 0\n", r"ZeroDivisionError: division by zero \(model\.py, line 1\)"),
        ("def build(classes):\n    raise KeyError(classes)\n", r"KeyError: 5 \(model\.py, line 2\)"),
        ("def build(classes):\n    return classes\n", "returns a int"),
        ("def build():\n    ...\n", "unexpected keyword argument"),
        ("raise SystemExit\n", "SystemExit"),
        ("def build(:\n", "SyntaxError"),
    ],
    ids=["missing", "import", "raises", "no module", "arguments", "exit", "syntax"],
)
def test_a_factory_that_fails_says_where(code: str, said: str, tmp_path: Path) -> None:
    path = described_zip(tmp_path / "model.zip", {"model.py": code, "layers.py": None})
    with pytest.raises(FactoryFailed, match=said):
        load_model(path, tmp_path)


def test_weights_that_are_not_the_architectures_are_listed(tmp_path: Path) -> None:
    path = described_zip(tmp_path / "model.zip", {"lathe.toml": DESCRIPTION.replace("classes = 5", "classes = 7")})
    with pytest.raises(WeightsUnfit, match=r"head\.weight \[5, 8\] instead of \[7, 8\]"):
        load_model(path, tmp_path)


def test_an_input_that_the_code_does_not_take_is_said_so(tmp_path: Path) -> None:
    path = described_zip(tmp_path / "model.zip", {"lathe.toml": DESCRIPTION.replace("3, 8, 8", "4, 8, 8")})
    with pytest.raises(OutputsUnknown, match="4 channels"):
        load_model(path, tmp_path)


def test_an_architecture_that_nobody_offers_is_refused_with_those_known(tmp_path: Path) -> None:
    named = DESCRIPTION.replace('file = "model.py"\nfactory = "build"', 'architecture = "acme-net"')
    with pytest.raises(ArchitectureUnknown, match="transformers/BertModel"):
        inspect(described_zip(tmp_path / "model.zip", {"lathe.toml": named}), tmp_path)


def test_two_files_of_weights_are_to_be_told_apart(tmp_path: Path) -> None:
    path = described_zip(tmp_path / "model.zip", {"second.pt": b""})
    with pytest.raises(DescriptionInvalid, match=r"second\.pt, weights\.pt; select one"):
        inspect(path, tmp_path)


def test_a_description_alone_has_no_weights(tmp_path: Path) -> None:
    path = described_zip(tmp_path / "model.zip", {"weights.pt": None})
    with pytest.raises(WeightsMissing):
        inspect(path, tmp_path)


# --- programs --------------------------------------------------------------------------------------------------------


def tampered(path: Path, target: Path, change: Callable[[str, bytes], bytes], extra: dict[str, bytes]) -> Path:
    """The archive at `path` with its files changed and more of them put in."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as sink:
        for name in source.namelist():
            sink.writestr(name, change(name, source.read(name)))
        for name, content in extra.items():
            sink.writestr(f"model/{name}", content)
    return target


def replaced(end: str, old: bytes, new: bytes) -> Callable[[str, bytes], bytes]:
    def change(name: str, content: bytes) -> bytes:
        assert not name.endswith(end) or old in content
        return content.replace(old, new) if name.endswith(end) else content

    return change


@pytest.mark.parametrize(
    ("end", "old", "new", "said"),
    [
        ("models/model.json", b"torch.ops.aten.relu.default", b"torch.hub.load", r"torch\.hub\.load"),
        ("models/model.json", b"torch.ops.aten.relu.default", b"torch.ops.aten.from_file.default", "from_file"),
        ("models/model.json", b"torch.ops.aten.relu.default", b"_operator.methodcaller", "methodcaller"),
        ("models/model.json", b"positive=True", b"positive=exit()", "not arithmetic"),
        ("weights_config.json", b'"use_pickle": false', b'"use_pickle": true', "pickled object"),
        ("weights_config.json", b'"path_name": "weight_0"', b'"path_name": "opaque_obj_0"', "pickled object"),
    ],
    ids=["function", "file", "operator", "expression", "pickle", "object"],
)
def test_a_program_that_is_more_than_operators_on_tensors_is_refused(
    end: str, old: bytes, new: bytes, said: str, tmp_path: Path
) -> None:
    path = tampered(exported_file(tmp_path / "model"), tmp_path / "bad.pt2", replaced(end, old, new), {})
    for opened in (inspect, load_model):
        with pytest.raises(ProgramCode, match=said):
            opened(path, tmp_path)


def test_a_program_with_compiled_code_is_refused(tmp_path: Path) -> None:
    extra = {"data/aotinductor/model/code.so": b"\x7fELF"}
    path = tampered(exported_file(tmp_path / "model"), tmp_path / "bad.pt2", lambda _, content: content, extra)
    with pytest.raises(ProgramCode, match="compiled code"):
        inspect(path, tmp_path)


def test_sample_inputs_of_a_program_are_not_unpickled(tmp_path: Path, mark: Path) -> None:
    attack = io.BytesIO()
    torch.save(Attack(mark), attack)

    def change(name: str, content: bytes) -> bytes:
        return attack.getvalue() if "sample_inputs" in name else content

    path = tampered(exported_file(tmp_path / "model"), tmp_path / "bad.pt2", change, {})
    with pytest.raises(ProgramCode, match="sample_inputs"):
        load_model(path, tmp_path)


@pytest.mark.parametrize(("old", "new"), [(b'"graph_module"', b'"graph"'), (b'"nodes": [', b'"nodes": 5, "others": [')])
def test_a_program_whose_graph_is_something_else_is_refused(tmp_path: Path, old: bytes, new: bytes) -> None:
    change = replaced("models/model.json", old, new)
    path = tampered(exported_file(tmp_path / "model"), tmp_path / "bad.pt2", change, {})
    with pytest.raises(ProgramUnsupported, match="graph"):
        inspect(path, tmp_path)


@pytest.mark.parametrize(
    ("expression", "fine"),
    [
        ("Symbol('s31', positive=True, integer=True)", True),
        ("Add(Mul(Integer(2), Symbol('s31', integer=True)), Integer(-1))", True),
        ("((s0 - 1)//2) + 1", True),
        ("Symbol('s0').name", False),
        ("__import__('os').system('true')", False),
        ("exec('x')", False),
        ("[s0 for s0 in s1]", False),
        ("lambda: s0", False),
    ],
)
def test_a_shape_is_arithmetic_or_refused(expression: str, fine: bool) -> None:
    assert is_arithmetic(expression) is fine


class Writing(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch.save(x, "mark")
        return x


class Reading(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.from_file("/etc/hostname", False, 1)


@pytest.mark.parametrize(("module", "said"), [(Writing, "calls save"), (Reading, "calls from_file")])
def test_a_script_that_touches_files_is_refused(module: type[torch.nn.Module], said: str, tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(module()), str(tmp_path / "model.pt"))
    for opened in (inspect, load_model):
        with pytest.raises(ScriptTouchesFiles, match=said):
            opened(tmp_path / "model.pt", tmp_path)
